"""`python -m ai_agents.prompts`: publish new prompt versions, refuse changed ones."""

import sys

from ai_agents.prompts import complaints, publish

for name in publish():
    print(f"published {name}")
if found := complaints():
    print("\n".join(found), file=sys.stderr)
    sys.exit(1)
