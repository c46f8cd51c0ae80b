"""The command line: parses, calls, prints. The heavy rooms are imported inside of the commands that need them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dirtypixels.cli.calibrate import calibrate, chart

app = typer.Typer(
    name="dirtypixels",
    help="Put a neural network behind a real camera: simulate it, restore, train jointly, compare honestly.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(calibrate, name="calibrate")
app.command()(chart)

RecipeFile = Annotated[Path, typer.Argument(help="A recipe, see recipes/.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that is written.", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of the recipe: key=value, e.g. finetuning.rate=0.002. May be repeated."),
]
CameraOption = Annotated[
    str | None,
    typer.Option("--camera", help="A camera in place of the recipe's: a profile's name, or the path of one."),
]


@app.command()
def cameras(
    name: Annotated[str | None, typer.Argument(help="A profile's name or path; none lists all.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the pictures of NAME; the current one if not given."),
    ] = None,
) -> None:
    """List the camera profiles, or show one: tables, and pictures of its noise and its lens."""
    from dirtypixels.cli.cameras import list_cameras, show_camera

    if name is not None:
        show_camera(name, out or Path())
    elif out is None:
        list_cameras()
    else:
        raise ValueError("out needs the name of a camera to draw; found none")


@app.command()
def simulate(
    images: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.", show_default=False)],
    out: Out,
    camera: Annotated[str, typer.Option(help="Profile name or path.")] = "nexus-6p-rear",
    lux: Annotated[float, typer.Option(help="Light on the scene in lux, above 0.")] = 3.0,
    position: Annotated[
        str | None,
        typer.Option(
            help="Place on the sensor, for the lens: center, offaxis, periphery, ROW,COLUMN in [0, 1], or field."
        ),
    ] = None,
    transfer: Annotated[str, typer.Option(help="How pictures become light: linear, or srgb.")] = "linear",
    seed: Annotated[int, typer.Option(help="Decides the noise.")] = 0,
    depth: Annotated[str, typer.Option("--format", help="16 or float (TIFF), or 8 (PNG, loses detail).")] = "16",
) -> None:
    """Photograph pictures with a simulated camera."""
    from dirtypixels.cli.simulate import simulate_pictures

    simulate_pictures(images, out, camera, lux, position, transfer, seed, depth)


@app.command()
def pretrain(recipe: RecipeFile, out: Out, changes: Changes = None, camera: CameraOption = None) -> None:
    """Pretrain the low-level units of a recipe for PSNR, with L-BFGS or Adam."""
    from dirtypixels.cli.studies import pretrain_units

    pretrain_units(recipe, out, _with_camera(changes, camera))


@app.command()
def train(recipe: RecipeFile, out: Out, changes: Changes = None, camera: CameraOption = None) -> None:
    """Train the classifiers and joint models of a recipe."""
    from dirtypixels.cli.studies import train_models

    train_models(recipe, out, _with_camera(changes, camera))


@app.command()
def study(recipe: RecipeFile, out: Out, changes: Changes = None, camera: CameraOption = None) -> None:
    """Train what is missing, evaluate every method, write tables, figures and the report. Goes on where it stopped."""
    from dirtypixels.cli.studies import run_study

    run_study(recipe, out, _with_camera(changes, camera), shlex.join(["dirtypixels", *sys.argv[1:]]))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model's folder.", show_default=False)],
    files: Annotated[list[Path], typer.Argument(help="Captures (as `simulate` writes them).", show_default=False)],
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--with", help="Another model's folder: all are run, the most confident one answers. May be repeated."
        ),
    ] = None,
    abstain_below: Annotated[
        float | None,
        typer.Option(help="Say 'abstains' instead of a label where the confidence is below this, from 0 to 1."),
    ] = None,
) -> None:
    """Name what is on captures, with confidence."""
    from dirtypixels.cli.predict import predict_files

    predict_files(model, files, others or [], abstain_below)


def _with_camera(changes: list[str] | None, camera: str | None) -> list[str]:
    # As JSON, which is YAML too: a path may hold what YAML takes for something else.
    return [*(changes or []), *([] if camera is None else [f"camera={json.dumps(camera)}"])]


def main() -> None:
    """Run the command; bad input ends with one line on standard error and status 2."""
    try:
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.Abort:
        sys.exit(130)
    except (ValueError, TypeError, OSError) as error:
        _fail(error)
    except Exception as error:
        # Only messages meant for people; anything else is a fault of ours and keeps its traceback.
        if hasattr(error, "format_message"):  # wrong usage; Typer's versions have no common class for it
            _fail(f"{error.format_message()} (see dirtypixels --help)")
        if not isinstance(error, ImportError | RuntimeError) or "pip install" not in str(error):
            raise
        _fail(error)
    else:
        sys.exit(status)


def _fail(error: Exception | str) -> NoReturn:
    typer.echo(f"dirtypixels: {' '.join(str(error).split())}", err=True)
    raise SystemExit(2) from None


if __name__ == "__main__":
    main()
