"""Statements as trees, so that parts of them can be taken away."""


class Node:
    """Text and nodes in order. A node with `kind` is an expression of that type; one that is `optional` may go."""

    def __init__(self, *parts, kind=None, optional=False):
        self.parts, self.kind, self.optional = list(parts), kind, optional

    def text(self):
        return "".join(part if isinstance(part, str) else part.text() for part in self.parts)

    def copy(self):
        parts = [part if isinstance(part, str) else part.copy() for part in self.parts]
        return Node(*parts, kind=self.kind, optional=self.optional)

    def size(self):
        return len(self.text())


def places(node, path=()):
    """The paths of all nodes below, the outermost first."""
    found = []
    for index, part in enumerate(node.parts):
        if isinstance(part, Node):
            found.append((*path, index))
            found.extend(places(part, (*path, index)))
    return sorted(found, key=len)


def at(node, path):
    for index in path:
        node = node.parts[index]
    return node


def with_replaced(root, path, new):
    root = root.copy()
    at(root, path[:-1]).parts[path[-1]] = new
    return root


def smaller(root, plain):
    """Statements with one part taken away, or an expression replaced by one of its type inside it or by a plain one."""
    for path in places(root):
        node = at(root, path)
        if node.optional and node.text():
            yield with_replaced(root, path, Node("", optional=True))
        if node.kind is None:
            continue
        for inner in places(node):
            below = at(node, inner)
            if below.kind == node.kind and below.size() < node.size():
                yield with_replaced(root, path, below.copy())
        for text in plain(node.kind):
            if len(text) < node.size():
                yield with_replaced(root, path, Node(text, kind=node.kind))


def shrunk(root, still_differs, plain, tries=150):
    """The smallest that was found within so many tries."""
    improved = True
    while improved and tries > 0:
        improved = False
        for candidate in smaller(root, plain):
            if candidate.size() >= root.size():
                continue
            tries -= 1
            if still_differs(candidate.text()):
                root, improved = candidate, True
                break
            if tries <= 0:
                break
    return root
