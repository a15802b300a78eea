"""XML as declared properties: an element is a class of one-liners, its output in declaration order.

    class Balloon(Element):
        tag = "memballoon"
        model = Value("@model")
        stats_period = Value("stats/@period")

    Balloon(model="virtio", stats_period=2).render()

What is None is left out. Used by domain_elements; ``child_of`` by those who read what libvirt says.
(The idea is virtinst's, of virt-manager.)
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from lxml import etree

from hostagent.kernel.errors import DriverError


class Value:
    """A property: "@name" an attribute, "a/b" a child's text, "a/@name" a child's attribute."""

    def __init__(self, path: str):
        *self.elements, last = path.split("/")
        self.attribute = last[1:] if last.startswith("@") else None
        if self.attribute is None and last:
            self.elements.append(last)

    def write(self, node: etree._Element, value: Any) -> None:
        target = _descend(node, self.elements)
        if self.attribute is not None:
            target.set(self.attribute, str(value))
        else:
            target.text = str(value)


class Flag(Value):
    """An empty child that is there or not: True or False."""

    def write(self, node: etree._Element, value: bool) -> None:
        if value:
            _descend(node, self.elements)


class Children(Value):
    """Other elements, below a path ("" = right here)."""

    def write(self, node: etree._Element, value: Iterable["Element"]) -> None:
        target = _descend(node, self.elements)
        target.extend(child.render() for child in value)


class Element:
    """See the module's head. ``nsmap`` gives the prefixes that the element declares."""

    tag: ClassVar[str]
    nsmap: ClassVar[Mapping[str, str] | None] = None

    def __init__(self, **values: Any):
        declared = self.declared()
        unknown = sorted(set(values) - set(declared))
        if unknown:
            raise TypeError(f"{type(self).__name__} declares no {', '.join(unknown)}")
        self.values = values

    @classmethod
    def declared(cls) -> dict[str, Value]:
        """The properties, in the order of their declaration."""
        return {name: value for name, value in vars(cls).items() if isinstance(value, Value)}

    def render(self) -> etree._Element:
        node = etree.Element(self.tag, nsmap=self.nsmap)
        for name, value in self.declared().items():
            if self.values.get(name) is not None:
                value.write(node, self.values[name])
        return node

    def to_text(self) -> str:
        return etree.tostring(self.render(), pretty_print=True, encoding="unicode")


def child_of(node: etree._Element, tag: str) -> etree._Element:
    """A child that libvirt always writes."""
    found = node.find(tag)
    if found is None:
        raise DriverError(f"libvirt says a <{node.tag}> without its <{tag}>")
    return found


def _descend(node: etree._Element, elements: Iterable[str]) -> etree._Element:
    for tag in elements:
        found = node.find(tag)
        node = etree.SubElement(node, tag) if found is None else found
    return node
