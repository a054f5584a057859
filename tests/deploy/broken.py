"""Ways to break a site: (the rule that must complain, how to break it, words of the complaint)."""

from collections.abc import Callable
from typing import Any

from tests.deploy.site import Object, Site

Break = Callable[[Site], Any]


def container(site: Site, app: str) -> Object:
    return site.pod(app).spec["containers"][0]


def text(config: str, name: str, old: str, new: str) -> Break:
    """Change a mounted configuration file."""

    def change(site: Site) -> None:
        for each in site.of("ConfigMap"):
            if each["metadata"]["name"].rpartition("-")[0] == config:
                assert old in each["data"][name]
                each["data"][name] = each["data"][name].replace(old, new)

    return change


def mount_in_memory(site: Site) -> None:
    pod = site.pod("web").spec
    [files] = [each for each in pod["volumes"] if each["name"] == "files"]
    del files["persistentVolumeClaim"]
    files["emptyDir"] = {}


def plain_variable(site: Site) -> None:
    container(site, "web")["env"].append({"name": "OPENAI_API_KEY_2_SECRET", "value": "sk-1"})


def root_init_container(site: Site) -> None:
    site.pod("postgres").spec["initContainers"] = [
        {"name": "fix-permissions", "image": "x@sha256:" + "0" * 64, "securityContext": {"runAsUser": 0}}
    ]


def role_selector(site: Site) -> None:
    site.one("Service", "postgres-rw")["spec"]["selector"]["role"] = "master"


def add(kind: str, **more: Any) -> Break:
    made = {"kind": kind, "metadata": {"name": "added", "namespace": "gardenos"}, "spec": {}, **more}
    return lambda site: site.objects.append(made)


def drop(kind: str, name: str) -> Break:
    return lambda site: site.objects.remove(site.one(kind, name))


PATRONI = ("patroni", "patroni.yml")
HAPROXY = ("haproxy", "haproxy.cfg")

WAYS: list[tuple[str, Break, str]] = [
    (
        "every_service_selects_pods_and_a_port_of_theirs",
        lambda site: site.one("Service", "postgres-rw")["spec"].pop("selector"),
        "selects nothing",
    ),
    (
        "every_service_selects_pods_and_a_port_of_theirs",
        lambda site: site.one("Service", "web")["spec"]["selector"].update({"app.kubernetes.io/name": "wbe"}),
        "selects no pod",
    ),
    (
        "every_service_selects_pods_and_a_port_of_theirs",
        lambda site: site.one("Service", "web")["spec"].update(
            selector={"app.kubernetes.io/part-of": "gardenos"}
        ),
        "several workloads",
    ),
    (
        "every_service_selects_pods_and_a_port_of_theirs",
        lambda site: site.one("Service", "pgbouncer")["spec"]["ports"][0].update(targetPort=6433),
        "which Deployment/pgbouncer has not",
    ),
    ("nobody_routes_by_role_or_by_hand", add("Endpoints"), "kept by hand"),
    ("nobody_routes_by_role_or_by_hand", role_selector, "by their role"),
    (
        "the_writing_service_leads_through_haproxy_alone",
        lambda site: site.one("Service", "postgres-rw")["spec"].update(
            selector={"app.kubernetes.io/name": "postgres"}
        ),
        "does not lead to HAProxy",
    ),
    (
        "the_writing_service_leads_through_haproxy_alone",
        lambda site: site.one("Service", "postgres-rw")["spec"]["ports"][0].update(targetPort="read-only"),
        "another port than 5432",
    ),
    (
        "no_service_is_named_like_a_setting",
        lambda site: site.one("Service", "web")["metadata"].update(name="gardenos-web"),
        "GARDENOS_",
    ),
    (
        "backends_of_the_ingress_exist",
        lambda site: site.one("Service", "live")["metadata"].update(name="sockets"),
        "leads to live",
    ),
    (
        "backends_of_the_ingress_exist",
        lambda site: site.one("Ingress", "site")["spec"]["tls"][0]["hosts"].pop(),
        "without a certificate",
    ),
    (
        "no_pod_gets_variables_of_services",
        lambda site: site.pod("worker").spec.pop("enableServiceLinks"),
        "Deployment/worker",
    ),
    ("every_pod_is_restricted", root_init_container, "fix-permissions: not restricted"),
    (
        "every_pod_is_restricted",
        lambda site: site.pod("web").spec["securityContext"].pop("seccompProfile"),
        "no seccomp profile",
    ),
    (
        "every_pod_is_restricted",
        lambda site: site.pod("web").spec["securityContext"].update(runAsUser=0),
        "may run as root",
    ),
    (
        "every_pod_is_restricted",
        lambda site: site.pod("prometheus").spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "a path of the node",
    ),
    (
        "every_pod_is_restricted",
        lambda site: site.pod("prometheus").spec.update(hostNetwork=True),
        "the node's namespaces",
    ),
    (
        "namespaces_enforce_restricted",
        lambda site: site.one("Namespace", "gardenos")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "privileged"}
        ),
        "does not enforce",
    ),
    (
        "namespaces_enforce_restricted",
        lambda site: site.one("Service", "web")["metadata"].update(namespace="default"),
        "no namespace of ours",
    ),
    (
        "only_what_asks_the_api_server_has_a_token",
        lambda site: site.pod("web").spec.pop("automountServiceAccountToken"),
        "Deployment/web",
    ),
    (
        "every_container_says_what_it_needs",
        lambda site: container(site, "pgbouncer")["resources"].pop("limits"),
        "Deployment/pgbouncer",
    ),
    (
        "what_runs_on_is_probed",
        lambda site: container(site, "agents").pop("livenessProbe"),
        "Deployment/agents",
    ),
    (
        "what_runs_on_is_probed",
        lambda site: container(site, "web").pop("readinessProbe"),
        "without a readiness probe",
    ),
    (
        "there_is_time_to_end_in_peace",
        lambda site: site.pod("postgres").spec.update(terminationGracePeriodSeconds=0),
        "StatefulSet/postgres",
    ),
    (
        "nodes_are_those_of_the_inventory",
        lambda site: site.pod("postgres").spec.update(nodeSelector={"disk": "ssd"}),
        "nodes that the inventory does not have",
    ),
    (
        "nodes_are_those_of_the_inventory",
        lambda site: site.pod("postgres").spec.update(tolerations=[{"operator": "Exists"}]),
        "tolerates taints",
    ),
    (
        "no_image_is_whatever_is_latest",
        lambda site: container(site, "web").update(image="registry.example/gardenos-app:latest"),
        "gardenos-app:latest",
    ),
    (
        "no_image_is_whatever_is_latest",
        lambda site: container(site, "web").update(image="localhost:5000/gardenos-app"),
        "localhost:5000/gardenos-app",
    ),
    (
        "a_sites_images_are_pinned_by_digest",
        lambda site: container(site, "prometheus").update(image="prom/prometheus:v3.5.0"),
        "without a digest",
    ),
    (
        "the_migration_is_of_the_release",
        lambda site: site.pod("migrate").owner["metadata"].update(name="migrate"),
        "the Job is not named",
    ),
    (
        "the_migration_is_of_the_release",
        lambda site: container(site, "worker").update(image="x@sha256:" + "1" * 64),
        "worker runs another image",
    ),
    ("no_secret_is_in_the_manifests", add("Secret", stringData={"password": "x"}), "Secret/added"),
    ("no_secret_is_in_the_manifests", plain_variable, "written in plain"),
    (
        "no_secret_is_in_the_manifests",
        text("pgbouncer", "pgbouncer.ini", "host=postgres-rw", "\npassword=hunter2 host=postgres-rw"),
        "holds a password",
    ),
    ("data_lies_on_claims", mount_in_memory, "/var/lib/gardenos/files"),
    (
        "claims_name_a_storage_class_of_the_inventory",
        lambda site: site.one("PersistentVolumeClaim", "files")["spec"].pop("storageClassName"),
        "claim files",
    ),
    (
        "patroni_knows_one_store_and_it_is_etcd_3_over_tls",
        text(*PATRONI, "etcd3:", "etcd: {hosts: [x:2379]}\netcd3:"),
        "['etcd', 'etcd3']",
    ),
    (
        "patroni_knows_one_store_and_it_is_etcd_3_over_tls",
        text(*PATRONI, "protocol: https", "protocol: http"),
        "without TLS",
    ),
    (
        "patroni_knows_one_store_and_it_is_etcd_3_over_tls",
        text(*HAPROXY, "global", "# http://10.0.0.11:2379\nglobal"),
        "an etcd without TLS",
    ),
    (
        "patronis_times_fit_each_other",
        text(*PATRONI, "retry_timeout: 5", "retry_timeout: 30"),
        "ttl must be 20",
    ),
    (
        "patronis_times_fit_each_other",
        text(*PATRONI, "failsafe_mode: true", "failsafe_mode: false"),
        "measured",
    ),
    (
        "the_database_lets_in_by_tls_from_our_networks_alone",
        text(*PATRONI, "- hostssl all all", "- host all all"),
        "pg_hba: host all all",
    ),
    (
        "the_database_lets_in_by_tls_from_our_networks_alone",
        text(*PATRONI, "hostssl all all 10.42.0.0/16", "hostssl all all 0.0.0.0/0"),
        "0.0.0.0/0 is no network",
    ),
    (
        "the_database_lets_in_by_tls_from_our_networks_alone",
        text(*PATRONI, "  initdb:", "  pg_hba: [local all all trust]\n  initdb:"),
        "two places",
    ),
    (
        "no_script_of_the_image_runs_at_bootstrap_as_a_user",
        text(*PATRONI, "  initdb:", "  users: {admin: {password: x}}\n  initdb:"),
        "bootstrap.users",
    ),
    (
        "etcd_is_that_of_the_place",
        lambda site: [
            each["data"].update(PATRONI_SCOPE="gardenos")
            for each in site.of("ConfigMap")
            if each["metadata"]["name"].startswith("postgres-place-")
        ],
        "neither its place nor its generation",
    ),
    (
        "etcd_is_that_of_the_place",
        lambda site: [
            each["data"].update(PATRONI_ETCD3_HOSTS="10.0.0.11:2379")
            for each in site.of("ConfigMap")
            if each["metadata"]["name"].startswith("postgres-place-")
        ],
        "not that of the inventory",
    ),
    (
        "statistics_of_haproxy_are_private",
        text(*HAPROXY, '"${HAPROXY_STATS_BIND}":8404', "*:8404"),
        "statistics are bound to",
    ),
    (
        "statistics_of_haproxy_are_private",
        text(*HAPROXY, '    stats auth "operator:${HAPROXY_STATS_PASSWORD}"\n', ""),
        "no password",
    ),
    (
        "statistics_of_haproxy_are_private",
        lambda site: site.one("Service", "postgres-router")["spec"].update(type="LoadBalancer"),
        "open to the outside",
    ),
    ("haproxy_asks_as_it_was_measured", text(*HAPROXY, "OPTIONS /primary", "OPTIONS /"), "OPTIONS /primary"),
    ("haproxy_asks_as_it_was_measured", text(*HAPROXY, "retries 0", "retries 3"), "retries 0"),
    (
        "members_come_back_by_themselves_and_soon",
        text(*PATRONI, "use_unix_socket_repl: true", "use_unix_socket_repl: false"),
        "own timeline",
    ),
    (
        "members_come_back_by_themselves_and_soon",
        text(*PATRONI, "checkpoint: fast", "checkpoint: spread"),
        "checkpoint",
    ),
    (
        "haproxy_asks_as_it_was_measured",
        text(*HAPROXY, "server postgres-2", "# server postgres-2"),
        "three members",
    ),
    (
        "a_site_survives_the_loss_of_a_node",
        lambda site: site.one("StatefulSet", "postgres")["spec"].update(replicas=2),
        "fewer than 3",
    ),
    (
        "a_site_survives_the_loss_of_a_node",
        lambda site: site.one("HorizontalPodAutoscaler", "web")["spec"].update(minReplicas=1),
        "fewer than 2",
    ),
    (
        "a_site_survives_the_loss_of_a_node",
        lambda site: site.one("Deployment", "web")["spec"].update(replicas=3),
        "its scaler would fight",
    ),
    (
        "a_site_survives_the_loss_of_a_node",
        lambda site: site.one("StatefulSet", "postgres")["spec"]["volumeClaimTemplates"][0]["spec"][
            "resources"
        ]["requests"].update(storage="8Gi"),
        "less than 10Gi",
    ),
    (
        "what_must_not_share_a_node_does_not",
        lambda site: (
            site.pod("postgres")
            .spec["topologySpreadConstraints"][0]
            .update(whenUnsatisfiable="ScheduleAnyway")
        ),
        "StatefulSet/postgres",
    ),
    (
        "every_replicated_workload_has_a_disruption_budget",
        drop("PodDisruptionBudget", "pgbouncer"),
        "Deployment/pgbouncer",
    ),
    (
        "every_object_carries_the_recommended_labels",
        lambda site: site.one("Ingress", "site")["metadata"]["labels"].pop("app.kubernetes.io/name"),
        "Ingress/site lacks app.kubernetes.io/name",
    ),
    (
        "what_pods_mount_and_read_exists",
        lambda site: site.one("PersistentVolumeClaim", "ledger")["metadata"].update(name="erasures"),
        "an unknown claim",
    ),
    (
        "what_pods_mount_and_read_exists",
        lambda site: [
            each["data"].pop("PATRONI_SCOPE")
            for each in site.of("ConfigMap")
            if each["metadata"]["name"].startswith("postgres-place-")
        ],
        "which is not there",
    ),
]
IDS = [f"{rule}-{number}" for number, (rule, _, _) in enumerate(WAYS)]
