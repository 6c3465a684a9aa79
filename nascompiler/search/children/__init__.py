"""Accuracy by training children: the proxy that they are trained on, and the part of an evaluator that does it."""

from nascompiler.search.children.defaults import default_proxy
from nascompiler.search.children.proxy import Proxy, proxy_dataset

__all__ = ["Proxy", "default_proxy", "proxy_dataset"]
