"""What the services stand on."""

from slipway.monitor.pages.common import RATE
from slipway.monitor.panels import Dashboard, Panel, Variable


def platform() -> Dashboard:
    """Scrapes, pods, volumes, the store."""
    of = 'namespace=~"$namespace"'
    per_pod = "{{namespace}}/{{pod}}"
    return Dashboard(
        uid="platform",
        title="Slipway / Platform",
        description="What the services stand on: scrapes, processors, memory, volumes, and what was not written.",
        variables=[Variable(name="namespace", query="label_values(container_memory_working_set_bytes, namespace)", all=True)],
        rows={
            "Scrapes": [
                Panel(title="Targets up", queries={"{{namespace}}/{{job}}": f"sum by (namespace, job) (up{{{of}}})"}),
                Panel(title="Targets down", red_above=1, queries={"{{namespace}}/{{pod}} {{job}}": f"up{{{of}}} == 0"}),
            ],
            "Pods": [
                Panel(
                    title="Processors used",
                    queries={
                        per_pod: "sum by (namespace, pod) "
                        f'(rate(container_cpu_usage_seconds_total{{{of}, container="", pod!=""}}[{RATE}]))'
                    },
                ),
                Panel(
                    title="Processors withheld",
                    unit="percentunit",
                    red_above=0.25,
                    queries={
                        per_pod: f"sum by (namespace, pod) (rate(container_cpu_cfs_throttled_periods_total{{{of}}}[{RATE}]))"
                        f" / sum by (namespace, pod) (rate(container_cpu_cfs_periods_total{{{of}}}[{RATE}]))"
                    },
                    description="Of pods with a processor limit: the share of periods in which they had to wait.",
                ),
                Panel(
                    title="Memory",
                    unit="bytes",
                    queries={
                        per_pod: f'sum by (namespace, pod) (container_memory_working_set_bytes{{{of}, container="", pod!=""}})'
                    },
                ),
                Panel(
                    title="Memory, of its limit",
                    unit="percentunit",
                    red_above=0.9,
                    queries={
                        per_pod: f'max by (namespace, pod) (container_memory_working_set_bytes{{{of}, container="", pod!=""}}'
                        f' / (container_spec_memory_limit_bytes{{{of}, container="", pod!=""}} > 0))'
                    },
                ),
            ],
            "Kept and lost": [
                Panel(
                    title="Volumes, free",
                    unit="percentunit",
                    red_below=0.1,
                    queries={
                        "{{namespace}}/{{persistentvolumeclaim}}": f"kubelet_volume_stats_available_bytes{{{of}}}"
                        f" / kubelet_volume_stats_capacity_bytes{{{of}}}"
                    },
                ),
                Panel(
                    title="Object store, free",
                    unit="percentunit",
                    red_below=0.1,
                    queries={
                        "{{namespace}}": f"minio_cluster_capacity_usable_free_bytes{{{of}}}"
                        f" / minio_cluster_capacity_usable_total_bytes{{{of}}}"
                    },
                    description="Where the chart's own MinIO is the store.",
                ),
                Panel(
                    title="Object store, requests that failed",
                    unit="reqps",
                    queries={"{{api}}": f"sum by (api) (rate(minio_s3_requests_errors_total{{{of}}}[{RATE}]))"},
                ),
                Panel(
                    title="Object store, requests",
                    unit="reqps",
                    queries={"{{api}}": f"sum by (api) (rate(minio_s3_requests_total{{{of}}}[{RATE}]))"},
                ),
                Panel(
                    title="Prediction log: lines dropped",
                    red_above=1,
                    queries={per_pod: f"sum by (namespace, pod) (increase(prediction_log_dropped_total{{{of}}}[{RATE}]))"},
                ),
            ],
        },
    )
