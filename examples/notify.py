"""Tell a webhook (Slack, Mattermost, Teams or your own) of every scheduled run that fails: python examples/notify.py URL

With PREFECT_API_URL set to the server that keeps the schedules. The automation stays there; its pages show it under *Automations*.
"""

import sys

from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger

NAME = "siamese-failed"
ENDED_BADLY = {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}

url = sys.argv[1]
webhook = CustomWebhookNotificationBlock(name=NAME, url=url, json_data={"text": "{{subject}}\n{{body}}"})
block = webhook.save(NAME, overwrite=True)
automation = Automation(
    name=NAME,
    trigger=EventTrigger(
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.siamese"},
        expect=ENDED_BADLY,
        posture="Reactive",
        threshold=1,
        within=0,
    ),
    actions=[
        SendNotification(
            block_document_id=block,
            subject="siamese: {{ flow_run.name }} {{ flow_run.state.name }}",
            body="{{ flow_run.state.message }}",
        )
    ],
)
automation.create()
