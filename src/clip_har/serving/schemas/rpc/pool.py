"""The descriptor pool of our messages.

A pool of our own: the Open Inference Protocol's names are also registered, in the process's default pool, by other
packages that speak it (tritonclient), and a pool takes a name once.
"""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
