# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stand-in for AWX: stores what is written under /api/v2/ as AWX does, and runs nothing.

It knows of each resource just what the modules of awx.awx ask for: lists with filters, objects with links, lists of
associated objects, survey specifications, and the approval templates of a workflow's nodes. It refuses what AWX
refuses: a playbook that a project does not have, a second credential of an inventory source, links of an approval
template. Of a project's repository it knows the playbooks, or that it cannot be read.
"""

from __future__ import annotations

import collections
import http.server
import itertools
import json
import threading
import typing as t
import urllib.parse

Item = dict[str, t.Any]
ROOT = "/api/v2/"
#: Lists of an object that hold other objects.
ASSOCIATIONS = {
    "credentials": "credentials",
    "labels": "labels",
    "instance_groups": "instance_groups",
    "success_nodes": "workflow_job_template_nodes",
    "failure_nodes": "workflow_job_template_nodes",
    "always_nodes": "workflow_job_template_nodes",
    "notification_templates_error": "notification_templates",
    "notification_templates_approvals": "notification_templates",
}
#: Those that AWX has for one resource only.
NODE_LINKS = ("success_nodes", "failure_nodes", "always_nodes")
#: All that AWX takes for an approval, and all that it returns of it.
APPROVAL_FIELDS = ("name", "description", "timeout")
#: What jobs can be made of; they are found under unified_job_templates as well.
UNIFIED = {
    "job_templates": "job_template",
    "workflow_job_templates": "workflow_job_template",
    "workflow_approval_templates": "workflow_approval_template",
    "projects": "project",
    "inventory_sources": "inventory_source",
}
#: Query parameters that do not name a field.
NO_FIELDS = ("page_size", "page", "order_by", "type", "order")


class AwxServer(http.server.ThreadingHTTPServer):
    """Starts with an organization, an execution environment and a credential for AWS."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self._ids = itertools.count(1)
        self.items: dict[str, dict[int, Item]] = collections.defaultdict(dict)
        self.linked: dict[tuple[str, int, str], list[int]] = collections.defaultdict(list)
        self.surveys: dict[tuple[str, int], Item] = {}
        #: The playbooks of each repository that can be read, by its URL.
        self.repositories: dict[str, list[str]] = {}
        #: Every request that could change something.
        self.writes: list[tuple[str, str]] = []
        self.add("organizations", {"name": "Default"})
        self.add("credential_types", {"name": "Amazon Web Services", "kind": "cloud"})
        self.add("credentials", {"name": "our keys", "organization": 1, "credential_type": 2})

    def __enter__(self) -> t.Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, resource: str, fields: Item) -> Item:
        """A new object with its links."""
        number = next(self._ids)
        url = f"{ROOT}{resource}/{number}/"
        kind = UNIFIED.get(resource, resource.removesuffix("s"))
        related = {name: f"{url}{name}/" for name in (*ASSOCIATIONS, "survey_spec", "update")}
        item = {**fields, "id": number, "url": url, "type": kind, "related": related, "summary_fields": {}}
        self.items[resource][number] = item
        if resource == "projects":  # AWX gets a new one at once
            self.update_project(item)
        return item

    def update_project(self, project: Item) -> Item:
        """Read its repository; what cannot be read fails, and stays so until the next update."""
        status = "successful" if project.get("scm_url") in self.repositories else "failed"
        update = self.add("project_updates", {"status": status, "scm_revision": "", "name": project["name"]})
        update |= {"finished": "now", "failed": status == "failed", "event_processing_finished": True}
        project |= {"status": status, "scm_revision": "", "summary_fields": {"current_update": {"id": update["id"]}}}
        return update

    def playbooks(self, project: Item) -> list[str]:
        """Those that AWX knows."""
        return self.repositories[project["scm_url"]] if project["status"] == "successful" else []

    def named(self, resource: str, name: str) -> Item:
        """The object of that name, or of that identifier."""
        [found] = [item for item in self.items[resource].values() if name in (item.get("name"), item.get("identifier"))]
        return found

    def names_linked(self, resource: str, name: str, link: str) -> list[str]:
        """The names of what is in one of an object's lists."""
        others = self.items[ASSOCIATIONS[link]]
        found = (others[number] for number in self.linked[resource, self.named(resource, name)["id"], link])
        return [other.get("name") or other["identifier"] for other in found]

    # --- requests -----------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: dict[str, str], body: Item) -> tuple[int, t.Any]:
        """Status and document for one request."""
        resource, number, sub = ([*path.removeprefix(ROOT).strip("/").split("/"), "", ""])[:3]
        if not number:
            return self.on_list(method, resource, query, body)
        if int(number) not in self.items[resource]:
            return 404, {"detail": "Not found."}
        item = self.items[resource][int(number)]
        answers: dict[str, t.Callable[[], tuple[int, t.Any]]] = {
            "": lambda: self.on_item(method, item, body),
            "survey_spec": lambda: self.on_survey(method, resource, item, body),
            "create_approval_template": lambda: self.make_approval(item, body),
            "playbooks": lambda: (200, self.playbooks(item)),
            "update": lambda: (202, self.update_project(item)),
        }
        if sub in answers:
            return answers[sub]()
        return self.on_link(method, (resource, item["id"], sub), query, body)

    def on_list(self, method: str, resource: str, query: dict[str, str], body: Item) -> tuple[int, t.Any]:
        if method == "POST":
            refused = self.refusal(resource, body)
            return (400, refused) if refused else (201, self.add(resource, body))
        resources = UNIFIED if resource == "unified_job_templates" else (resource,)
        found = [item for name in resources for item in self.items[name].values() if self.fits(item, query)]
        return 200, {"count": len(found), "next": None, "results": found}

    def fits(self, item: Item, query: dict[str, str]) -> bool:
        if query.get("type", item["type"]) != item["type"]:
            return False
        fields = {key: value for key, value in query.items() if key not in NO_FIELDS}
        prefix = fields.pop("name__startswith", "")
        begins = str(item.get("name", "")).startswith(prefix)
        if "organization__name" in fields:
            fields["organization"] = str(self.named("organizations", fields.pop("organization__name"))["id"])
        return begins and all(str(item.get(key)) == value for key, value in fields.items())

    def refusal(self, resource: str, fields: Item) -> Item:
        """Why AWX does not store an object with these fields; empty if it does."""
        if resource == "job_templates" and "playbook" in fields:
            project = self.items["projects"].get(fields.get("project", 0))
            if not project or fields["playbook"] not in self.playbooks(project):
                return {"playbook": ["Playbook not found for project."]}
        return {}

    def on_item(self, method: str, item: Item, body: Item) -> tuple[int, t.Any]:
        if method == "PATCH":
            refused = self.refusal(f"{item['type']}s", item | body)
            if refused:
                return 400, refused
            known = APPROVAL_FIELDS if item["type"] == "workflow_approval_template" else tuple(body)
            item.update({key: value for key, value in body.items() if key in known})
        return 200, item

    def on_survey(self, method: str, resource: str, item: Item, body: Item) -> tuple[int, t.Any]:
        if method == "GET":
            return 200, self.surveys.get((resource, item["id"]), {})
        self.surveys[resource, item["id"]] = body
        return 200, {}

    def make_approval(self, node: Item, body: Item) -> tuple[int, t.Any]:
        approval = self.add("workflow_approval_templates", {key: body[key] for key in APPROVAL_FIELDS if key in body})
        node["unified_job_template"] = approval["id"]
        node["related"]["unified_job_template"] = approval["url"]
        return 201, approval

    def on_link(self, method: str, link: tuple[str, int, str], query: dict[str, str], body: Item) -> tuple[int, t.Any]:
        if link[2] not in ASSOCIATIONS or (link[2] in NODE_LINKS and link[0] != "workflow_job_template_nodes"):
            return 404, {"detail": "Not found."}
        linked = self.linked[link]
        source = self.items["inventory_sources"].get(link[1], {}) if link[0] == "inventory_sources" else {}
        if method == "POST" and link[2] == "credentials" and source.get("credential") and "disassociate" not in body:
            return 400, {"msg": "Source already has credential assigned."}
        if method == "POST":
            linked.remove(body["id"]) if body.get("disassociate") else linked.append(body["id"])
            return 204, None
        others = self.items[ASSOCIATIONS[link[2]]]
        found = [others[number] for number in linked if self.fits(others[number], query)]
        return 200, {"count": len(found), "next": None, "results": found}


class Handler(http.server.BaseHTTPRequestHandler):
    """Speaks JSON."""

    server: AwxServer

    def do(self) -> None:
        """Any request."""
        split = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(split.query))
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        with self.server.lock:
            if self.command != "GET":
                self.server.writes.append((self.command, split.path))
            status, document = self.server.answer(self.command, split.path, query, body)
        text = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do  # the names that http.server asks for

    def log_message(self, format: str, *arguments: t.Any) -> None:
        """Not to the test's output."""
