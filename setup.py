"""What the package needs and what goes into it; the settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "edgegan/__init__.py").read_text("utf-8"), re.MULTILINE
)
assert VERSION is not None

# Top-level folders that an installed edgegan needs too: edgegan.data.deploy is deploy/, and so on.
# What is not named here (training leftovers, built engines, drafts) stays in the checkout.
DATA = {
    "edgegan.data.engines": ["**/*.md", "**/*.yaml", "**/*.edgegan", "**/*.mp4"],
    "edgegan.data.deploy": ["**/*.md", "**/*.yaml"],
    "edgegan.data.systemd": ["**/*.md", "**/*.service", "**/*.rules", "**/*.conf"],
}

# Wide: the lowest are what the tests passed with (numpy 1.24, OpenCV 4.6: what boards have from apt).
REQUIRES = [
    "av>=15",  # H.264: the wheels of OpenCV have no encoder for it; 14 leaves the video file empty
    "numpy>=1.24",
    "onnxruntime>=1.17",
    "opencv-python>=4.6",  # any cv2 does: docs/configuration.md#opencv
    "psutil>=5.9",
    "pydantic>=2.5",
    "PyYAML>=6",
]
PACK = ["onnx>=1.16", "onnxsim>=0.4.36"]
OPENVINO = ["openvino>=2024.0"]  # the oldest that the tests of its driver passed with; Python 3.13: 2025.0
WINDOW = ["pysdl2>=0.9.16", "pysdl2-dll>=2.28"]
DEV = [
    "build>=1",
    "hypothesis>=6.90",
    "import-linter>=2.1",
    "mypy>=1.13",
    "pytest>=8",
    "pytest-timeout>=2.2",
    "ruff>=0.8",
    "setuptools>=68",
    "types-psutil",
    "types-PyYAML",
    "wheel",
]

setup(
    name="edgegan",
    version=VERSION[1],
    description="Run compressed GAN generators live on small boards, with honest traces",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.10",
    packages=[*find_packages(include=["edgegan", "edgegan.*"]), *DATA],
    package_dir={name: name.rpartition(".")[2] for name in DATA},
    package_data={"edgegan": ["py.typed"], **DATA},
    install_requires=REQUIRES,
    extras_require={
        "pack": PACK,
        "openvino": OPENVINO,
        "window": WINDOW,
        "dev": [*DEV, *PACK, *OPENVINO, *WINDOW],
    },
    entry_points={"console_scripts": ["edgegan = edgegan.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Video",
        "Typing :: Typed",
    ],
)
