"""`headrace source`: what brings events in from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headrace.producers.replay.replay import Job, Standing
    from headrace.schemas.catalogue import Catalogue, Entry

source = typer.Typer(help="Bring events in from elsewhere.", no_args_is_help=True)


@source.callback()
def _group() -> None:
    """Bring events in from elsewhere."""


@source.command()
def replay(
    file: Annotated[
        Path | None,
        typer.Argument(help="A CSV, NDJSON or Avro file, or one of them with .gz; without it, the flights of 2013."),
    ] = None,
    feed: Annotated[str | None, typer.Option(help="The feed that the file goes to.")] = None,
    time_field: Annotated[str | None, typer.Option(help="The field that holds an event's own time.")] = None,
    id_field: Annotated[str | None, typer.Option(help="The field that is an event's id.")] = None,
    speed: Annotated[
        str, typer.Option(help="Times real time, by the events' own times: 3600 is an hour a second; or max.")
    ] = "max",
    limit: Annotated[int | None, typer.Option(min=0, help="Stop after this many rows of the source.")] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out rows that do not fit; count them.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, with the same ids, wherever it stands.")
    ] = False,
) -> None:
    """Write what a file holds to a feed as if it happened now; go on where it was broken off.

    Without a file: flights out of New York City in 2013, after their airlines, airports, planes and weather.
    """
    from confluent_kafka import KafkaException

    from headrace.kafka.offsets import KafkaUnavailable
    from headrace.producers.replay.progress import open_progress
    from headrace.producers.replay.replay import Replay, ReplayFailed
    from headrace.producers.replay.row import SourceError
    from headrace.producers.replay.run import run_replay
    from headrace.schemas.catalogue import load_catalogue
    from headrace.schemas.feed import FeedError
    from headrace.schemas.ids import SchemaError
    from headrace.settings import SourceSettings

    pace = _speed(speed)
    settings = SourceSettings()
    try:
        catalogue = load_catalogue(settings)
        if file is None:
            for name, value in (("--feed", feed), ("--time-field", time_field), ("--id-field", id_field)):
                if value is not None:
                    raise typer.BadParameter(f"{name} goes with a file; the flights have theirs")
            jobs = _flights(catalogue, pace, limit)
        else:
            if pace is not None and time_field is None:
                raise typer.BadParameter("--speed goes by the events' own times: name their --time-field, or use max")
            jobs = [_file(file, _entry(catalogue, feed), id_field, time_field, pace, limit)]
        standings = run_replay(
            settings,
            lambda: Replay(settings, jobs, progress=open_progress(), restart=restart, skip_invalid=skip_invalid),
        )
    except ReplayFailed as error:
        typer.echo(_told(error.standing), err=True)
        raise _fail(str(error)) from None
    except (FeedError, SchemaError, SourceError) as error:
        raise _fail(str(error)) from None
    except (KafkaException, KafkaUnavailable, TimeoutError) as error:
        raise _fail(f"Kafka at {settings.bootstrap_servers} does not answer: {error}") from None
    except OSError as error:
        raise _fail(f"{error.strerror or error}; HEADRACE_SOURCE_PORT gives the metrics another port") from None
    for standing in standings:
        typer.echo(_told(standing))


def _speed(text: str) -> float | None:
    from headrace.producers.replay.pace import parse_speed

    try:
        return parse_speed(text)
    except ValueError:
        raise typer.BadParameter(f"--speed is a positive number or max, not {text}") from None


def _flights(catalogue: Catalogue, speed: float | None, limit: int | None) -> list[Job]:
    from headrace.producers.replay.flights import DEPARTURES, departures, references
    from headrace.producers.replay.replay import Job

    jobs = [Job(catalogue[name], table) for name, table in references().items()]
    return [*jobs, Job(catalogue[DEPARTURES], departures(), speed, limit)]


def _file(
    file: Path, entry: Entry, id_field: str | None, time_field: str | None, speed: float | None, limit: int | None
) -> Job:
    from headrace.producers.replay.data_file import DataFile
    from headrace.producers.replay.replay import Job

    return Job(entry, DataFile(file, entry, id_field=id_field, time_field=time_field), speed, limit)


def _entry(catalogue: Catalogue, feed: str | None) -> Entry:
    from headrace.schemas.feed import holds_dead_letters

    if feed is None:
        raise typer.BadParameter("name the --feed that the file goes to")
    if holds_dead_letters(feed):
        raise typer.BadParameter("dead letters are written by Headrace alone")
    if feed not in catalogue:
        known = ", ".join(name for name in catalogue if not holds_dead_letters(name))
        raise typer.BadParameter(f"no feed is called {feed}; there are {known}")
    return catalogue[feed]


def _told(standing: Standing) -> str:
    skipped = f", {standing.skipped:,} rows left out that do not fit" if standing.skipped else ""
    if not standing.finished:
        return (
            f"{standing.feed}: {standing.written:,} events written{skipped}; it stands at row {standing.row:,}. "
            "Run the same command again to go on."
        )
    if standing.written == 0 and not skipped:
        return f"{standing.feed}: all {standing.row:,} rows were replayed before; --restart begins anew."
    return f"{standing.feed}: {standing.written:,} events written{skipped}; all {standing.row:,} rows are replayed."


def _fail(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(1)
