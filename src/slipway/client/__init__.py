"""Ask models over the network: JSON, binary tensors or gRPC by size, with safe retries.

Needs httpx, numpy and orjson, and grpcio where a gRPC address is given; never the server, an engine or a training library.

>>> from slipway.client import Client
>>> with Client("http://127.0.0.1:8080") as client:
...     client.models()
...     image = client.predict("cv-shapes", ["part.png"])[0]
...     image.label, round(image.confidence, 2), list(image.probabilities)
...     text = client.explain("nlp-reviews", ["a fine film"])[0]
...     text.label, text.tokens
...     for answer in client.predict_folder("cv-shapes", "photos"):
...         print(answer.source, answer.prediction.label if answer.prediction else answer.error)
['cv-shapes', 'nlp-reviews']
('circle', 0.72, ['circle', 'square', 'triangle'])
('positive', ('a', 'fine', 'film'))
photos/1.png circle
photos/2.png not an image (8 bytes); allowed: JPEG, PNG, BMP, WEBP, TIFF
"""

from slipway.client.client import Client
from slipway.client.prediction import Answered, Prediction

__all__ = ["Answered", "Client", "Prediction"]
