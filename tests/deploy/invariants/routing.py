"""Services, and where they lead."""

from collections.abc import Iterator

from tests.deploy.invariants.base import invariant, named
from tests.deploy.site import Site, matches


@invariant
def every_service_selects_pods_and_a_port_of_theirs(site: Site) -> Iterator[str]:
    for service in site.of("Service"):
        selector = service["spec"].get("selector")
        if not selector:
            yield f"{named(service)} selects nothing"
            continue
        chosen = [
            pod
            for pod in site.pods()
            if pod.namespace == service["metadata"]["namespace"]
            and matches({"matchLabels": selector}, pod.labels)
        ]
        if not chosen:
            yield f"{named(service)} selects no pod"
        if len({pod.name for pod in chosen}) > 1:
            yield f"{named(service)} selects pods of several workloads"
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            for pod in chosen:
                ports = pod.port_names()
                if target not in ports and target not in ports.values():
                    yield f"{named(service)} leads to port {target}, which {pod.name} has not"


@invariant
def nobody_routes_by_role_or_by_hand(site: Site) -> Iterator[str]:
    for each in site.of("Endpoints", "EndpointSlice"):
        yield f"{named(each)} is kept by hand"
    for service in site.of("Service"):
        if any(
            "role" in key or value in {"master", "primary"}
            for key, value in service["spec"].get("selector", {}).items()
        ):
            yield f"{named(service)} selects members by their role"


@invariant
def the_writing_service_leads_through_haproxy_alone(site: Site) -> Iterator[str]:
    for name, port in (("postgres-rw", 5432), ("postgres-ro", 5433)):
        selector = site.one("Service", name)["spec"]["selector"]
        if selector != {"app.kubernetes.io/name": "postgres-router"}:
            yield f"Service/{name} does not lead to HAProxy"
        target = site.one("Service", name)["spec"]["ports"][0]["targetPort"]
        if site.pod("postgres-router").port_names().get(target) != port:
            yield f"Service/{name} leads to another port than {port}"


@invariant
def no_service_is_named_like_a_setting(site: Site) -> Iterator[str]:
    for service in site.of("Service"):
        if service["metadata"]["name"].startswith("gardenos"):
            yield f"{named(service)}: Kubernetes would inject GARDENOS_ variables, which settings refuse"


@invariant
def backends_of_the_ingress_exist(site: Site) -> Iterator[str]:
    services = {each["metadata"]["name"]: each for each in site.of("Service")}
    for ingress in site.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                ports = {
                    port["name"]
                    for port in services.get(service["name"], {"spec": {"ports": []}})["spec"]["ports"]
                }
                if service["port"]["name"] not in ports:
                    yield f"{named(ingress)} leads to {service['name']}, which has no such port"
            if rule["host"] not in {host for each in ingress["spec"]["tls"] for host in each["hosts"]}:
                yield f"{named(ingress)} serves {rule['host']} without a certificate"
