"""The backward pass: reverse-mode differentiation over the recorded graph.

    for each node, once all its consumers have sent their gradients:
        gradients = node.backward(sum of what was sent)
        send them along the edges

That is the whole secret of a skip connection. In `y = F(x) + x`, x has two consumers, F's first op and the sum. Its
gradient is what comes back through F *plus* what comes straight from the sum, and nothing below x may run before both
have arrived. So the backward pass first counts the consumers of every node, and then runs the nodes in such an order
that each comes after all of its consumers. It is iterative: a network may be thousands of nodes deep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from minires import backend
from minires.core import modes
from minires.core.checks import (
    check_gradients,
    check_like,
    check_not_written,
    check_returned,
    check_root,
    check_unchanged,
    root_gradient,
)
from minires.core.function import Function
from minires.core.operators import Operand, method
from minires.core.readonly import read_only
from minires.core.receivers import Receiver, receiver_of
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.errors import GraphError, ShapeError

Vertex = Function | Tensor  # where gradients go: a node, or a leaf
Tensors = Tensor | Sequence[Tensor]


@method("backward")
def backward(
    tensor: Tensors, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False
) -> None:
    """See Tensor.backward. Several tensors, each with its gradient, are one pass (torch.autograd.backward)."""
    one = ([tensor], [gradient]) if isinstance(tensor, Tensor) else None
    roots, root_gradients = one or _roots("backward", tensor, gradient)
    one_pass = BackwardPass(roots, root_gradients, None, retain_graph, create_graph)
    for leaf, leaf_gradient in one_pass.run().items():
        if isinstance(leaf, Tensor) and leaf.requires_grad:  # it may have been frozen after the forward pass
            _accumulate_grad(leaf, leaf_gradient, create_graph)
    for receiver in one_pass.receivers:
        receiver.finish()


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """d(outputs)/d(inputs) · grad_outputs (torch.autograd.grad): a tuple, one gradient for each input. Sets no `.grad`.

    Inputs may be leaves or results inside the graph. grad_outputs: a Tensor for each output; None stands for 1 where an
    output has a single element. Raises GraphError where an input does not influence the outputs, unless `allow_unused`:
    then its gradient is None.
    """
    roots, root_gradients = _roots("grad", outputs, grad_outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for number, target in enumerate(targets):
        if not target.requires_grad:
            raise GraphError(f"grad: input {number} (shape {target.shape}) does not require gradients")
    found = BackwardPass(roots, root_gradients, targets, retain_graph, create_graph).run()
    gradients = tuple(found.get(vertex_of(target)) for target in targets)
    for number, gradient in enumerate(gradients):
        if gradient is None and not allow_unused:
            raise GraphError(
                f"grad: input {number} (shape {targets[number].shape}) does not influence the outputs; "
                "pass allow_unused=True to get None for it"
            )
    return gradients


class BackwardPass:
    """One backward pass, from `roots` to the leaves, or to `targets` alone."""

    def __init__(
        self,
        roots: list[Tensor],
        grad_outputs: list[Any],
        targets: list[Tensor] | None,
        retain_graph: bool | None,
        create_graph: bool,
    ) -> None:
        self.create_graph = flag("backward", "create_graph", create_graph)
        self.retain_graph = create_graph if retain_graph is None else flag("backward", "retain_graph", retain_graph)
        self.roots = [vertex_of(root) for root in roots]
        self.grad_outputs = [_grad_output(root, given) for root, given in zip(roots, grad_outputs, strict=True)]
        self.targets = None if targets is None else {vertex_of(target) for target in targets}
        self.on_path: set[Vertex] | None = None  # the vertices from which a target can be reached; None: all
        self.pending: dict[Vertex, Tensor] = {}  # the sum of the gradients that a vertex has been sent so far
        # Ids of arrays in use elsewhere: by the caller, by a hook, or as the gradient of another tensor.
        self.shared = {id(gradient.data) for gradient in self.grad_outputs}
        self.receivers: dict[Receiver, None] = {}  # who has taken gradients of this pass, in order

    def run(self) -> dict[Vertex, Tensor]:
        """The gradient at every leaf that was reached, or at every target."""
        order = topological_order(self.roots)
        if self.targets is not None:
            self.on_path = _leading_to(self.targets, order)
        results: dict[Vertex, Tensor] = {}
        with modes.set_grad_enabled(self.create_graph):
            for root, gradient in zip(self.roots, self.grad_outputs, strict=True):
                self.send(root, gradient)
            order.reverse()
            while order:
                vertex = order.pop()  # popped, so that a node is free as soon as it has run
                sent = self.pending.pop(vertex, None)
                if sent is None:
                    continue  # every consumer sent None
                gradient = self.run_hooks(vertex, sent)
                is_target = isinstance(vertex, Tensor) if self.targets is None else vertex in self.targets
                if is_target and not self.is_taken(vertex, gradient):
                    results[vertex] = self.unshared(gradient)
                if isinstance(vertex, Function):
                    self.run_node(vertex, gradient)
        return results

    def send(self, vertex: Vertex, gradient: Tensor) -> None:
        """Where paths join, gradients add up: into a new array, since the one that waits may be in use elsewhere."""
        waiting = self.pending.get(vertex)
        self.pending[vertex] = gradient if waiting is None else waiting + gradient

    def run_node(self, node: Function, gradient: Tensor) -> None:
        """Run one node's backward and send the results along its edges."""
        for retained in node.retained:
            if (tensor := retained()) is not None:
                _accumulate_grad(tensor, self.unshared(gradient), self.create_graph)
        needed = [edge is not None and (self.on_path is None or edge in self.on_path) for edge in node.edges]
        node.needs_input_grad = tuple(needed)
        if not any(needed):
            return  # neither run nor released, so that a later pass may start here
        node.sent = self.pending  # see Function.take_sent
        try:
            gradients = gradients_of(node, gradient)
        finally:
            node.sent = None
        for edge, is_needed, sent in zip(node.edges, needed, gradients, strict=True):
            if edge is not None and is_needed and sent is not None:
                self.send(edge, sent)
        if not self.retain_graph:
            node.release()

    def run_hooks(self, vertex: Vertex, gradient: Tensor) -> Tensor:
        """`gradient` after the vertex's hooks, each of which may replace it."""
        for hook in list(vertex.hooks.values()):
            given = gradient.clone()  # the hook may change it, and another edge may have the same gradient
            replaced = hook(given)
            if replaced is None and given.version:
                replaced = given
            if replaced is not None:
                check_like("register_hook: what the hook returned", replaced, vertex)
                self.shared.add(id(replaced.data))
                gradient = replaced
        return gradient

    def is_taken(self, vertex: Vertex, gradient: Tensor) -> bool:
        """Whether a receiver takes the gradient of this leaf now (distributed training, which sends it)."""
        if self.targets is not None or not isinstance(vertex, Tensor) or not vertex.requires_grad:
            return False
        receiver = receiver_of(vertex)
        if receiver is None or not receiver.receive(vertex, gradient):
            return False
        self.receivers[receiver] = None
        return True

    def unshared(self, gradient: Tensor) -> Tensor:
        """`gradient`, copied if it is a view or in use elsewhere, so that no two tensors' gradients share memory."""
        is_shared = gradient.data.base is not None or id(gradient.data) in self.shared
        gradient = gradient.clone() if is_shared else gradient
        gradient = gradient if self.create_graph else Tensor(gradient.data)
        self.shared.add(id(gradient.data))
        return gradient


def topological_order(roots: Iterable[Vertex]) -> list[Vertex]:
    """The nodes and leaves below `roots`, each after all of its consumers.

    First count how many gradients each vertex waits for. Then repeat: take a vertex that waits for none, and let each
    vertex that it sends to wait for one less.
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


def gradients_of(node: Function, gradient: Tensor) -> list[Tensor | None]:
    """Run `node`'s backward on the gradient of its output. Returns one gradient, or None, for each input."""
    check_unchanged(node)
    is_formula_needed = modes.is_grad_enabled() or modes.is_fused_backward_disabled()
    fused = None if is_formula_needed else node.backward_fused
    with modes.inside_backward():
        version = gradient.version
        returned: Any = node.backward(gradient) if fused is None else fused(gradient.data)
        check_not_written(node, gradient, version)
    check_returned(node, returned)
    gradients = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    if fused is not None:
        gradients = [None if array is None else Tensor(read_only(array)) for array in gradients]
    check_gradients(node, gradients)
    return gradients


def vertex_of(tensor: Tensor) -> Vertex:
    """The node that computed `tensor`, or the leaf itself."""
    return tensor.node or tensor


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


def _roots(function: str, outputs: Tensors, grad_outputs: Any) -> tuple[list[Tensor], list[Any]]:
    """The tensors that a pass starts from, and for each one the gradient that the caller gave, or None."""
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    gradients = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]
    if grad_outputs is None:
        gradients = [None] * len(roots)
    if len(gradients) != len(roots):
        raise ShapeError(f"{function}: {len(gradients)} grad_outputs for {len(roots)} outputs")
    return roots, gradients


def _grad_output(root: Tensor, gradient: Operand | None) -> Tensor:
    """The gradient that the pass starts from: what the caller gave, or 1 for a single element."""
    check_root(root, gradient)
    if gradient is None:
        return Tensor(backend.array_module(root.data).ones(root.shape, root.dtype))
    if not isinstance(gradient, Tensor):
        gradient = Tensor(root_gradient(gradient, root))
    check_like("backward: the given gradient", gradient, root)
    # A copy, since the caller may write into the array later, and it may become some leaf's `.grad`.
    return gradient if gradient.requires_grad else Tensor(gradient.data.copy())


def _accumulate_grad(tensor: Tensor, gradient: Tensor, create_graph: bool) -> None:
    """Add to `tensor.grad`, in a new array. The gradient is known to be like the tensor."""
    if tensor.grad is None:
        tensor._grad = gradient
        return
    with modes.set_grad_enabled(create_graph):
        tensor.grad = tensor.grad + gradient
