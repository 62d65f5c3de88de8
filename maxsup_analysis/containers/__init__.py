"""What is in a checkpoint file or folder, without importing, calling or unpickling anything that it names.

    a file --(its first bytes)--> its kind --(inert readers, in a child process with limits)--> Contents

Contents are a tree of plain values in which every tensor is described by where its bytes lie. Nothing here needs
torch. There is no way to ask for more.
"""

from maxsup_analysis.containers.contents import Contents, Node, Object, Record, StoredTensor
from maxsup_analysis.containers.parse import parse
from maxsup_analysis.containers.sandbox import read_in_child as read

__all__ = ["Contents", "Node", "Object", "Record", "StoredTensor", "parse", "read"]
