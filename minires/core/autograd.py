"""The backward walk: reverse-mode differentiation over the recorded graph.

    for each node, once all its consumers have sent their gradients:
        gradients = node.backward(sum of what was sent)
        send them along the edges

That is the whole secret of a skip connection. In `y = F(x) + x`, x has two consumers, F's first op and the sum. Its
gradient is what comes back through F *plus* what comes straight from the sum, and nothing below x may run before both
have arrived. So the walk first counts, for every node, how many gradients it must wait for, and then runs the nodes in
an order in which nobody is asked too early. It is iterative: a network may be thousands of nodes deep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from minires import backend
from minires.core import modes
from minires.core.function import Function
from minires.core.tensor import Operand, Tensor, method, read_only
from minires.errors import DeviceError, DtypeError, GraphError, ShapeError

Vertex = Function | Tensor  # where gradients go: a node, or a leaf
Tensors = Tensor | Sequence[Tensor]


@method("backward")
def backward(
    tensor: Tensor, gradient: Operand | None = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """See Tensor.backward."""
    walk = BackwardPass([tensor], [gradient], None, retain_graph, create_graph)
    for leaf, arrived in walk.run().items():
        if isinstance(leaf, Tensor):
            leaf.grad = arrived if leaf.grad is None else _sum(leaf.grad, arrived, create_graph)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(outputs)/d(inputs) · grad_outputs, a tuple with one for each input (torch.autograd.grad); touches no `.grad`.

    Inputs may be leaves or results inside the graph. grad_outputs: a Tensor for each output, None for a single element.
    Raises GraphError where an input does not influence the outputs, unless `allow_unused` (then None stands there).
    """
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    seeds = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]
    if grad_outputs is None:
        seeds = [None] * len(roots)
    if len(seeds) != len(roots):
        raise ShapeError(f"grad: {len(seeds)} grad_outputs for {len(roots)} outputs")
    for number, target in enumerate(targets):
        if not target.requires_grad:
            raise GraphError(f"grad: input {number} (shape {target.shape}) does not require gradients")
    arrived = BackwardPass(roots, seeds, targets, retain_graph, create_graph).run()
    gradients = tuple(arrived.get(_vertex(target)) for target in targets)
    unused = [number for number, gradient in enumerate(gradients) if gradient is None]
    if unused and not allow_unused:
        number = unused[0]
        raise GraphError(
            f"grad: input {number} (shape {targets[number].shape}) does not influence the outputs; "
            "pass allow_unused=True to get None for it"
        )
    return gradients


def _vertex(tensor: Tensor) -> Vertex:
    return tensor.node or tensor


class BackwardPass:
    """One backward pass, from `roots` to the leaves (or to `targets` alone)."""

    def __init__(
        self,
        roots: list[Tensor],
        seeds: list[Any],
        targets: list[Tensor] | None,
        retain_graph: bool | None,
        create_graph: bool,
    ) -> None:
        self.roots, self.create_graph = roots, create_graph
        self.retain_graph = create_graph if retain_graph is None else retain_graph
        self.targets = None if targets is None else {_vertex(target) for target in targets}
        self.pending: dict[Vertex, Tensor] = {}  # the sum of what has arrived so far
        self.seeds = [_seed(root, seed) for root, seed in zip(roots, seeds, strict=True)]
        # Ids of arrays that already are somebody's: a seed given by the user, a gradient handed out.
        # `owned` copies what would become a second one's, so that no two gradients ever share memory.
        self.given = {id(seed.data) for seed in self.seeds}

    def run(self) -> dict[Vertex, Tensor]:
        """The gradient at every leaf that was reached, or at every target."""
        order = topological_order(_vertex(root) for root in self.roots)
        # Vertices on a way to a target; a node's `needs` is this, input by input. None: everything is asked for.
        asked = None if self.targets is None else _leading_to(self.targets, order)
        results: dict[Vertex, Tensor] = {}
        with modes.set_grad_enabled(self.create_graph):
            for root, seed in zip(self.roots, self.seeds, strict=True):
                self.send(_vertex(root), seed)
            order.reverse()
            while order:
                vertex = order.pop()  # popped, so that a node is free as soon as it has fired
                gradient = self.pending.pop(vertex, None)
                if gradient is None:  # all consumers sent None
                    continue
                gradient = self.hooked(vertex, gradient)
                if self.is_wanted(vertex):
                    results[vertex] = self.owned(gradient)
                if isinstance(vertex, Function):
                    self.fire(vertex, gradient, asked)
        return results

    def is_wanted(self, vertex: Vertex) -> bool:
        """Whether the caller wants this gradient: of every leaf, or of the targets that were named."""
        return isinstance(vertex, Tensor) if self.targets is None else vertex in self.targets

    def hooked(self, vertex: Vertex, gradient: Tensor) -> Tensor:
        """`gradient` after the vertex's hooks, each of which may have replaced it."""
        for hook in list(vertex.hooks.values()):
            replaced = hook(gradient)
            if replaced is not None:
                _check_fits("register_hook: what the hook returned", replaced, vertex)
                self.given.add(id(replaced.data))
                gradient = replaced
        return gradient

    def fire(self, node: Function, gradient: Tensor, asked: set[Vertex] | None) -> None:
        """Run one node's backward and send the results along its edges."""
        for retained in node.retained:
            if (tensor := retained()) is not None:
                arrived = self.owned(gradient)
                tensor.grad = arrived if tensor.grad is None else _sum(tensor.grad, arrived, self.create_graph)
        node.needs_input_grad = tuple(edge is not None and (asked is None or edge in asked) for edge in node.edges)
        if not any(node.needs_input_grad):
            return  # nothing below is asked for: neither run nor freed, so a later pass may start here
        for edge, sent in zip(node.edges, gradients_of(node, gradient), strict=True):
            if edge is not None and sent is not None and (asked is None or edge in asked):
                self.send(edge, sent)
        if not self.retain_graph:
            node.release()

    def send(self, vertex: Vertex, gradient: Tensor) -> None:
        """Where paths join, gradients add up; a new array each time, since what arrived may belong to someone else."""
        waiting = self.pending.get(vertex)
        self.pending[vertex] = gradient if waiting is None else waiting + gradient

    def owned(self, gradient: Tensor) -> Tensor:
        """`gradient` as an array of its own: two leaves may have been sent the same one, or a view of a larger one."""
        shared = gradient.data.base is not None or id(gradient.data) in self.given
        owned = gradient.clone() if shared else gradient
        owned = owned if self.create_graph else owned.detach()
        self.given.add(id(owned.data))
        return owned


def topological_order(roots: Iterable[Vertex]) -> list[Vertex]:
    """Nodes and leaves below `roots`, each after all of its consumers.

    First count how many gradients each vertex waits for; then repeat: take one that waits for nobody, and let those
    it sends to wait for one less.
    """
    roots = list(dict.fromkeys(roots))
    waits_for: Counter[Vertex] = Counter()
    seen, stack = set(roots), list(roots)
    while stack:
        for edge in _edges(stack.pop()):
            waits_for[edge] += 1
            if edge not in seen:
                seen.add(edge)
                stack.append(edge)
    ready = [root for root in roots if not waits_for[root]]
    order: list[Vertex] = []
    while ready:
        vertex = ready.pop()
        order.append(vertex)
        for edge in _edges(vertex):
            waits_for[edge] -= 1
            if not waits_for[edge]:
                ready.append(edge)
    return order


def _edges(vertex: Vertex) -> list[Vertex]:
    if isinstance(vertex, Tensor):
        return []
    if vertex.released:
        raise GraphError(
            f"backward through {vertex.name} a second time: what it had kept was freed by the first backward pass; "
            "pass retain_graph=True there, or run forward again"
        )
    return [edge for edge in vertex.edges if edge is not None]


def _leading_to(targets: set[Vertex], order: list[Vertex]) -> set[Vertex]:
    """The vertices of `order` from which some target can be reached, targets included."""
    leading: set[Vertex] = set()
    for vertex in reversed(order):
        if vertex in targets or any(edge in leading for edge in _edges(vertex)):
            leading.add(vertex)
    return leading


def gradients_of(node: Function, gradient: Tensor) -> list[Tensor | None]:
    """Run `node`'s backward on the gradient of its output; checked: one gradient for each input, each fitting it."""
    node.check_unchanged()
    fused = None if modes.is_grad_enabled() or modes.is_fused_backward_disabled() else node.backward_fused
    with modes.inside_backward():
        returned: Any = node.backward(gradient) if fused is None else fused(gradient.data)
    sequence = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    if len(sequence) != len(node.inputs):
        raise GraphError(f"{node.name}: backward returned {len(sequence)} gradients for {len(node.inputs)} inputs")
    gradients = [Tensor(read_only(each)) if fused is not None and each is not None else each for each in sequence]
    for number, (tensor, each) in enumerate(zip(node.inputs, gradients, strict=True)):
        if each is not None and node.needs_input_grad[number]:
            _check_fits(f"{node.name}: backward's gradient of input {number}", each, tensor)
            if modes.is_detecting_anomaly():
                node.check_finite(f"gradient of input {number}", each.data)
    return gradients


def _check_fits(what: str, gradient: Tensor, tensor: Vertex) -> None:
    if not isinstance(gradient, Tensor):
        raise GraphError(f"{what} is a {type(gradient).__name__}, not a Tensor")
    if gradient.shape != tensor.shape:
        raise ShapeError(f"{what} has shape {gradient.shape}, but the tensor has shape {tensor.shape}")
    if gradient.dtype != tensor.dtype:
        raise DtypeError(f"{what} has dtype {gradient.dtype}, but the tensor has dtype {tensor.dtype}")
    if gradient.device != tensor.device:
        raise DeviceError(f"{what} is on {gradient.device}, but the tensor is on {tensor.device}")


def _seed(root: Tensor, gradient: Operand | None) -> Tensor:
    """The gradient that the walk starts from: what the caller gave, or 1 for a single element."""
    if not root.requires_grad:
        raise GraphError(
            f"backward: the tensor of shape {root.shape} has no graph: nothing it was computed from requires "
            "gradients, or it was computed under no_grad()"
        )
    if gradient is None:
        if root.numel() != 1:
            raise GraphError(
                f"backward: a gradient is needed for an output of shape {root.shape}; only a single element has an "
                "obvious one. Reduce it to a loss first, or pass gradient= of the same shape"
            )
        return Tensor(backend.array_module(root.data).ones(root.shape, root.dtype))
    if not isinstance(gradient, Tensor):
        gradient = Tensor(backend.array_module(root.data).array(gradient, dtype=root.dtype))
    _check_fits("backward: the given gradient", gradient, root)
    # A copy: the caller may write into theirs later, and it may end up as some leaf's .grad.
    return gradient if gradient.requires_grad else Tensor(gradient.data.copy())


def _sum(total: Tensor, arrived: Tensor, create_graph: bool) -> Tensor:
    with modes.set_grad_enabled(create_graph):
        return total + arrived
