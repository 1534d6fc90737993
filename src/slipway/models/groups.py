"""Layer groups of a network, from input to head: what is frozen, thawed and given a learning rate of its own together."""

from torch import nn

from slipway.models.cnn import GlobalAveragePool
from slipway.models.network import ImageNetwork

POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def layer_groups(model: nn.Module) -> list[list[nn.Module]]:
    """Modules by group, from input to head; every parameter of the model is in exactly one group.

    Of images a group is a stage: what works at one resolution, so small-image stems make fewer. Of texts it is the
    embeddings or a transformer layer.

    Args:
        model: an `ImageNetwork`, or an encoder with a classification head.
    Returns: at least two groups; the last is the head, which starts fresh on new classes.
    """
    if isinstance(model, ImageNetwork):
        return _stages(model.network)
    return _layers(model)


def _stages(network: nn.Module) -> list[list[nn.Module]]:
    units = _opened(network)
    pooled = [i for i, unit in enumerate(units) if isinstance(unit, GlobalAveragePool)]
    assert pooled, f"{type(network).__name__}: every image network averages over H and W before its head"
    body, head = units[: pooled[-1]], units[pooled[-1] :]
    groups: list[list[nn.Module]] = [[]]
    for unit in body:
        pools = any(isinstance(m, POOLS) for m in unit.modules())
        strides = any(isinstance(m, nn.Conv2d) and m.stride != (1, 1) for m in unit.modules())
        if strides or (pools and not isinstance(unit, POOLS)):  # a block that pools inside is a stage of its own
            groups.append([])
        groups[-1].append(unit)
        if pools:
            groups.append([])
    return [*_with_parameters(groups), *_with_parameters([head])]


def _opened(module: nn.Module) -> list[nn.Module]:
    """Its children, the sequences among them replaced by theirs."""
    return [unit for child in module.children() for unit in (_opened(child) if isinstance(child, nn.Sequential) else [child])]


def _layers(model: nn.Module) -> list[list[nn.Module]]:
    """Embeddings, each transformer layer, and the head: pooler, classifier and whatever else is outside the base model."""
    classifier = getattr(model, "encoder", model)
    base = getattr(classifier, str(classifier.base_model_prefix))
    stack = next((m for m in base.modules() if isinstance(m, nn.ModuleList) and len(m) > 0), None)
    inside = {id(m) for m in stack.modules()} if stack is not None else set()
    on_the_way = {id(m) for m in (model, classifier, base) if m is not stack}
    on_the_way |= {id(m) for m in base.modules() if inside & {id(child) for child in m.modules()}} - inside
    groups: list[list[nn.Module]] = [[], *([layer] for layer in stack or []), []]
    place = 0
    pending = [model]
    while pending:
        module = pending.pop(0)
        if module is stack:
            place = len(groups) - 2  # what follows the layers, such as a last norm, goes with the top one
        elif id(module) in on_the_way:
            pending = [*module.children(), *pending]
        elif module is getattr(base, "pooler", None) or id(module) not in {id(m) for m in base.modules()}:
            groups[-1].append(module)
        else:
            groups[place].append(module)
    return _with_parameters(groups)


def _with_parameters(groups: list[list[nn.Module]]) -> list[list[nn.Module]]:
    """The groups without modules that have nothing to train, and without groups of nothing else."""
    kept = [[module for module in group if next(module.parameters(), None) is not None] for group in groups]
    return [group for group in kept if group]
