"""The estate of the browser tests: every finding once at least, and names that mean harm."""

from __future__ import annotations

from sandbox.scenario import Scenario
from tests.e2e.estates import estate

MOVED = 24

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '=HYPERLINK("http://evil.example","x")',
    "מכונה-01",
    "evil\u202egpj.11W",
    "javascript:alert(1)",
)
HOSTILE_CATALOG = "<img src=x onerror=alert(2)>"
HOSTILE_GROUP = "=cmd|' /C calc'!A0"
HOSTILE_CONNECTION = "Nutanix <svg onload=alert(3)>"
PLAIN_CONNECTION = "Nutanix AHV Lyon"

_ESTATE = f"""
name: review-page
describes: A protection domain was migrated; some machines are hard to decide, some names mean harm.
connections:
  - {{name: Nutanix AHV Paris, zone: Paris, address: prism-par.corp.example}}
  - {{name: Nutanix AHV Amsterdam, zone: Amsterdam, address: prism-ams.corp.example}}
  - {{name: "{PLAIN_CONNECTION}", zone: Lyon, address: prism-lyo.corp.example}}
clusters:
  - {{name: paris, api: element-v2, hostingConnection: Nutanix AHV Paris, registered: [{{name: PAR-CL01}}]}}
  - {{name: amsterdam, api: element-v2, hostingConnection: Nutanix AHV Amsterdam, registered: [{{name: AMS-CL01}}]}}
  - {{name: lyon, api: element-v2, hostingConnection: "{PLAIN_CONNECTION}", registered: [{{name: LYO-CL01}}]}}
catalogs:
  - {{name: Persistent W11, zone: Paris}}
  - {{name: Finance, zone: Paris}}
  - {{name: Pooled W11, zone: Paris, provisioning: MCS}}
  - {{name: "{HOSTILE_CATALOG}", zone: Paris}}
deliveryGroups:
  - {{name: W11 Desktops}}
  - {{name: "{HOSTILE_GROUP}"}}
strangers: 2
machines:
  - names: W11-{{:03d}}
    count: {MOVED}
    catalog: Persistent W11
    deliveryGroup: W11 Desktops
    record: {{connection: Nutanix AHV Paris, id: vm}}
    vms: [{{at: AMS-CL01, id: vm}}]
  - names: FIN-{{:03d}}
    count: 3
    catalog: Finance
    record: {{connection: Nutanix AHV Paris, id: gone}}
    vms: [{{at: AMS-CL01, id: new}}]
  - names: DUP-{{:02d}}
    count: 2
    catalog: Finance
    record: {{connection: Nutanix AHV Paris, id: gone}}
    vms: [{{at: PAR-CL01, id: a}}, {{at: AMS-CL01, id: b}}]
  - names: CONF-{{:02d}}
    catalog: Finance
    record: {{connection: Nutanix AHV Paris, id: gone}}
    vms: [{{at: PAR-CL01, id: "@conf"}}]
  - names: CONF-{{:02d}}
    domain: LAB
    catalog: Finance
    record: {{connection: Nutanix AHV Paris, id: gone}}
  - names: MISS-{{:02d}}
    count: 2
    catalog: Finance
    record: {{connection: Nutanix AHV Paris, id: gone}}
  - names: POOL-{{:02d}}
    count: 2
    catalog: Pooled W11
    record: {{connection: Nutanix AHV Paris, id: vm}}
    vms: [{{at: PAR-CL01, id: vm}}]
  - names: FINE-{{:02d}}
    count: 4
    catalog: Persistent W11
    record: {{connection: Nutanix AHV Amsterdam, id: vm}}
    vms: [{{at: AMS-CL01, id: vm}}]
profile:
  name: emea-vdi
  schedule: true
  policy: {{maxChangePercent: 100, resetAgainAfterSeconds: 0}}
run: {{mode: review}}
"""
_HARMFUL = """
  - names: "{name}"
    catalog: "{catalog}"
    deliveryGroup: "{group}"
    record: {{connection: Nutanix AHV Paris, id: vm}}
    vms: [{{at: LYO-CL01, id: vm}}]
"""


def review_estate(*, hostile: bool = False) -> Scenario:
    """With ``hostile`` there are machines whose names mean harm as well."""
    if not hostile:
        return estate(_ESTATE)
    harmful = "".join(
        _HARMFUL.format(name=name.replace('"', '\\"'), catalog=HOSTILE_CATALOG, group=HOSTILE_GROUP) for name in HOSTILE
    )
    text = _ESTATE.replace("profile:\n", f"{harmful}profile:\n").replace(PLAIN_CONNECTION, HOSTILE_CONNECTION)
    return estate(text.replace("\n\n", "\n"))
