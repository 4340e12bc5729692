"""`minires explore`: a page that steps through a residual block, and a whole network."""

from __future__ import annotations

from pathlib import Path

import click

from minires.cli.shared import checked_by, echo, example, model_name, refuse_options


@click.command(epilog=example("minires explore --model resnet18 --weights resnet18-f37072fd.pth --image dog.jpg"))
@click.option(
    "--model",
    callback=checked_by(model_name),
    metavar="NAME",
    help="The network of the second view, e.g. resnet20; default: that of the weights.",
)
@click.option(
    "--weights",
    metavar="cifar10|digits|FILE",
    help="Its weights: those that come with MiniRes, a network trained on digits now, or a file; default: cifar10 "
    "where the images of CIFAR-10 are at hand, or else digits.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A photograph to show; may be given several times.",
)
@click.option("--host", default="127.0.0.1", help="The address to listen on; others than this let the network in.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="The port; 0 takes any that is free.")
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
@click.option(
    "--export",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a static copy into DIR for a web site, and serve nothing.",
)
@click.pass_context
def explore(
    context: click.Context,
    model: str | None,
    weights: str | None,
    images: tuple[Path, ...],
    host: str,
    port: int,
    browser: bool,
    folder: Path | None,
) -> None:
    """Step through a residual block in a browser, forward and back.

    The second view shows a whole network at work on a photograph. Only this machine can reach the page.
    """
    from minires.explorer import program
    from minires.explorer.export import export
    from minires.explorer.server import is_local

    if folder is not None:
        refuse_options(context, ["host", "port", "browser"], "--export serves nothing")
    session = program.open_session(model, weights, list(images), echo)
    if folder is not None:
        paths = export(folder, session)
        echo(f"The explorer: {paths[0]} ({sum(path.stat().st_size for path in paths) / 1e6:.1f} MB in all)")
        return
    if not is_local(host):
        click.echo(
            f"minires: warning: everyone who reaches {host}:{port} over the network can use the page and upload images",
            err=True,
        )
    program.serve(session, host, port, browser, echo)
