"""What both PyTorch peers tell of the work itself; imports torch, so it is theirs alone."""

import time
from contextlib import contextmanager

import torch

GEMM = 1024


@contextmanager
def counted(*models: torch.nn.Module):
    """Gives a list that fills with the multiplications and additions of layers with weights. Attention's own products are left out
    (a hundredth), and torch's counter isn't used: it trips over weight norm in inference mode."""
    counts, hooks = [], []

    def count(layer, inputs, output):
        if isinstance(layer, torch.nn.Linear):
            counts.append(2 * output.numel() * layer.in_features)
        elif type(layer).__name__ == "Conv1D":  # of GPT-2, which is a linear layer
            counts.append(2 * output.numel() * layer.weight.shape[0])
        elif isinstance(layer, (torch.nn.Conv1d, torch.nn.Conv2d)):
            counts.append(2 * output.numel() * layer.weight[0].numel())
        elif isinstance(layer, torch.nn.ConvTranspose1d):
            counts.append(2 * inputs[0].numel() * layer.weight[0].numel())
        elif isinstance(layer, torch.nn.LSTM):
            steps = getattr(inputs[0], "data", inputs[0]).numel() // layer.input_size
            weights = [weight for name, weight in layer.named_parameters() if "weight" in name]
            counts.append(2 * sum(weight.numel() for weight in weights) * steps)

    hooks = [layer.register_forward_hook(count) for model in models for layer in model.modules()]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def multiply(device: str, times: int) -> dict:
    """Products of big square matrices, for whoever measures; on a card it is measured here, where one can wait for it."""
    size = GEMM if device == "cpu" else 8 * GEMM
    left, right = torch.rand(size, size, device=device), torch.rand(size, size, device=device)
    flop = 2 * size**3 * times
    start = time.perf_counter()
    for _ in range(times):
        left @ right
    if device == "cpu":
        return {"flop": flop}
    torch.cuda.synchronize()
    return {"flop": flop, "seconds": time.perf_counter() - start}
