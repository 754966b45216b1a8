"""Drains one queue with manual acknowledgements and tells what it got, one JSON object a line.

Shares no code with the agent. Everything comes by environment: AMQP_HOST, AMQP_PORT, AMQP_USER,
AMQP_PASSWORD, AMQP_QUEUE, LIMIT_SECONDS. Survives a broker that goes away: it connects again until
the limit has passed. A message is told before it is acknowledged, so none is lost; one may be told
twice, and then says redelivered.
"""

import json
import os
import sys
import time

import pika


def tell(channel, method, properties, body):
    message = {
        "message_id": properties.message_id,
        "routing_key": method.routing_key,
        "content_type": properties.content_type,
        "persistent": properties.delivery_mode == 2,
        "redelivered": method.redelivered,
        "headers": {k: str(v) for k, v in (properties.headers or {}).items()},
        "body": body.decode("utf-8", "replace"),
    }
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
    channel.basic_ack(method.delivery_tag)


def drain(parameters, queue):
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=256)
        channel.basic_consume(queue, tell)
        sys.stderr.write("consuming\n")
        sys.stderr.flush()
        channel.start_consuming()
    finally:
        if connection.is_open:
            connection.close()


def main():
    parameters = pika.ConnectionParameters(
        host=os.environ["AMQP_HOST"],
        port=int(os.environ["AMQP_PORT"]),
        credentials=pika.PlainCredentials(
            os.environ["AMQP_USER"], os.environ["AMQP_PASSWORD"]
        ),
        heartbeat=10,
        socket_timeout=5,
        stack_timeout=10,
        blocked_connection_timeout=10,
    )
    until = time.monotonic() + float(os.environ["LIMIT_SECONDS"])
    while time.monotonic() < until:
        try:
            drain(parameters, os.environ["AMQP_QUEUE"])
        except (pika.exceptions.AMQPError, OSError) as error:
            sys.stderr.write(f"again after {error!r}\n")
            sys.stderr.flush()
            time.sleep(0.2)


main()
