"""Run compressed GAN generators live on small boards, with honest traces."""

__version__ = "0.1.0"

__all__ = ["__version__"]
