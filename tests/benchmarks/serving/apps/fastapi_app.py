"""A plain FastAPI app, as one is written in an afternoon: a typed JSON body, raw bodies, the model in the thread pool."""

import numpy as np
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from shared import answer, pixels, session

app = FastAPI()
CNN, RESNET = session("small_cnn"), session("resnet18_224")


class Tensor(BaseModel):
    shape: list[int]
    data: list[float]


@app.post("/json")
def as_json(tensor: Tensor) -> dict:
    return {"probabilities": answer(CNN, np.asarray(tensor.data, np.float32).reshape(tensor.shape))[0].tolist()}


@app.post("/tensor")
async def tensor(request: Request) -> dict:
    batch = np.frombuffer(await request.body(), "<f4").reshape(1, 3, 200, 200)
    return {"probabilities": (await run_in_threadpool(answer, CNN, batch))[0].tolist()}


@app.post("/image")
async def image(request: Request) -> dict:
    file = await request.body()
    return {"probabilities": (await run_in_threadpool(lambda: answer(RESNET, pixels(file))))[0].tolist()}
