"""Many devices: their logs' rows over MQTT to a collector, which keeps them in PostgreSQL or SQLite.

Loaded by its own commands alone. What sends (:mod:`edge.fleet.forwarding`) loads neither NumPy nor OpenCV;
MQTT is paho-mqtt's affair and PostgreSQL psycopg's, both loaded where a connection is opened.
"""
