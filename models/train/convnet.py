"""A small convolutional network for 8x8 grey images, trained with nothing but numpy.

    image (8x8) -> 3x3 convolution -> ReLU -> 2x2 max pooling -> dense -> ReLU -> dense -> softmax

The convolution is written as one matrix product over the nine shifted copies of the image, so the
whole network is four products and their transposes.  Everything runs in float64.
"""

import numpy as np

SIDE = 8


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def patches(x):
    """[n, 64] -> [n, 64, 9]: for every pixel its 3x3 neighbourhood, zero outside the image."""
    padded = np.pad(x.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    shifted = [padded[:, r:r + SIDE, c:c + SIDE] for r in range(3) for c in range(3)]
    return np.stack(shifted, axis=-1).reshape(len(x), SIDE * SIDE, 9)


class ConvNet:
    """Parameters: conv [9, f], dense [f*16, h], out [h, classes], and one bias for each."""

    def __init__(self, filters, hidden, classes, rng):
        self.filters, self.hidden = filters, hidden
        pooled = filters * (SIDE // 2) ** 2

        def he(n_in, n_out):
            return rng.standard_normal((n_in, n_out)) * np.sqrt(2 / n_in)

        self.params = {
            "conv_w": he(9, filters), "conv_b": np.zeros(filters),
            "dense_w": he(pooled, hidden), "dense_b": np.zeros(hidden),
            "out_w": he(hidden, classes), "out_b": np.zeros(classes),
        }

    def forward(self, x, drop=None):
        """Logits, and what the backward pass needs.  x: [n, 64], already scaled to 0..1."""
        p, n, half = self.params, len(x), SIDE // 2
        cols = patches(x)
        conv = np.maximum(cols @ p["conv_w"] + p["conv_b"], 0)             # [n, 64, f]
        windows = (conv.reshape(n, half, 2, half, 2, self.filters)
                   .transpose(0, 5, 1, 3, 2, 4).reshape(n, -1, 4))         # [n, f*16, 4]
        winner = windows.argmax(axis=2)
        flat = np.take_along_axis(windows, winner[..., None], axis=2)[..., 0]
        if drop is not None:
            flat = flat * drop
        dense = np.maximum(flat @ p["dense_w"] + p["dense_b"], 0)
        logits = dense @ p["out_w"] + p["out_b"]
        return logits, (cols, winner, flat, dense)

    def gradients(self, x, y, drop):
        """Gradients of the mean cross-entropy of one mini-batch."""
        p, n, half = self.params, len(x), SIDE // 2
        logits, (cols, winner, flat, dense) = self.forward(x, drop)
        d_logits = softmax(logits)
        d_logits[np.arange(n), y] -= 1
        d_logits /= n
        d_dense = (d_logits @ p["out_w"].T) * (dense > 0)
        d_flat = (d_dense @ p["dense_w"].T) * drop * (flat > 0)
        d_windows = np.zeros((*d_flat.shape, 4))
        np.put_along_axis(d_windows, winner[..., None], d_flat[..., None], axis=2)
        d_conv = (d_windows.reshape(n, self.filters, half, half, 2, 2)
                  .transpose(0, 2, 4, 3, 5, 1).reshape(-1, self.filters))
        return {
            "conv_w": cols.reshape(-1, 9).T @ d_conv, "conv_b": d_conv.sum(axis=0),
            "dense_w": flat.T @ d_dense, "dense_b": d_dense.sum(axis=0),
            "out_w": dense.T @ d_logits, "out_b": d_logits.sum(axis=0),
        }

    def fit(self, x, y, rng, epochs, batch, rate, decay, dropout):
        """Adam with decoupled weight decay; the rate falls to zero along a cosine."""
        first = {k: np.zeros_like(v) for k, v in self.params.items()}
        second = {k: np.zeros_like(v) for k, v in self.params.items()}
        steps, step = epochs * int(np.ceil(len(x) / batch)), 0
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch):
                rows = order[start:start + batch]
                keep = rng.random((len(rows), self.params["dense_w"].shape[0])) >= dropout
                grads = self.gradients(x[rows], y[rows], keep / (1 - dropout))
                now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
                step += 1
                for k, g in grads.items():
                    first[k] += 0.1 * (g - first[k])
                    second[k] += 0.001 * (g * g - second[k])
                    move = (first[k] / (1 - 0.9 ** step)) / (np.sqrt(second[k] / (1 - 0.999 ** step)) + 1e-8)
                    if k.endswith("_w"):
                        move = move + decay * self.params[k]
                    self.params[k] -= now * move
        return self

    def predict_proba(self, x):
        return softmax(self.forward(x)[0])
