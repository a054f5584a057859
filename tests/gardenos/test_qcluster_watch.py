"""The watchdog of a queue cluster, when there is nothing to work with."""

from unittest import mock

from django.db import OperationalError

from gardenos.management.commands import qcluster_watch


def test_without_a_database_the_cluster_waits_and_says_so_once():
    said: list[str] = []
    watch = qcluster_watch.Watch("default", said.append)
    refused = OperationalError("connection failed: Connection refused")
    with (
        mock.patch.object(qcluster_watch, "connection") as connection,
        mock.patch.object(qcluster_watch.subprocess, "Popen") as started,
    ):
        connection.ensure_connection.side_effect = refused
        watch.start()
        watch.start()
        assert not started.called
        assert [line.partition(";")[0] for line in said] == [
            "cluster default waits for the database: database: Connection refused"
        ]
        connection.ensure_connection.side_effect = None
        watch.start()
        assert started.called
