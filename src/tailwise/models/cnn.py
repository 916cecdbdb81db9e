"""A small convolutional network with a feature layer and a linear head."""

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Two strided convolutions, a feature layer and a linear head for 28 × 28 images.

    Parameters
    ----------
    n_classes : int
    n_features : int
        Width of the last hidden layer, the input of the head.
    channels : int
        Channels of the first convolution; the second has twice as many.
    dropout : float
        On the features, while training.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        n_features: int = 64,
        channels: int = 16,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, channels, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(2 * channels * 7 * 7, n_features),
            nn.GELU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_features, n_classes)

    def features(self, images: Tensor) -> Tensor:
        """Features ``[n, n_features]`` of images ``[n, 1, 28, 28]``."""
        return self.body(images)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[n, n_classes]`` of images ``[n, 1, 28, 28]``."""
        return self.head(self.dropout(self.features(images)))
