"""Random payloads of Huawei: topics in an infix text."""

from payload_strategies import IDS, LOGIC, TOPICS, any_object, bounded, conditions, objects, some

CONDITIONS = bounded(conditions(LOGIC, with_not=True, max_topics=4))
PAYLOADS = objects({"message": any_object(topic=TOPICS, token=some(IDS), condition=CONDITIONS)})
