//! The word `mntr`: everything that is counted, under Apache's names.
//!
//! Names whose subject does not exist in this server (a queue between two of Apache's threads, say)
//! are listed all the same, with zeros: dashboards ask for them. What is measured: `metrics`.

use core::fmt::{self, Write as _};

use super::{Summary, VERSION, View, ensemble, text::Average, text::Text};
use crate::tree::QuotaTotal;

// ZooKeeper: Commands.MonitorCommand, ZooKeeperServer.registerMetrics, ServerMetrics
pub(super) fn mntr(view: &View<'_>, text: &mut Text) -> fmt::Result {
    writeln!(text, "zk_version\t{VERSION}")?;
    writeln!(text, "zk_server_state\t{}", view.mode)?;
    gauges(view, text)?;
    ensemble::gauges(view, text)?;
    quotas(view, text)?;
    for name in COUNTERS {
        let value = view.counters.iter().find(|(counter, _)| *counter == name);
        writeln!(text, "zk_{name}\t{}", value.map_or(0, |(_, value)| *value))?;
    }
    for (namespace, count) in &view.quotas_exceeded {
        let namespace = namespace.escape_debug();
        writeln!(text, "zk_{namespace}_quota_exceeded_error_per_namespace\t{count}")?;
    }
    let measured = |name: &str| {
        let summary = view.summaries.iter().find(|(summary, _)| summary == name);
        summary.map_or_else(Summary::default, |(_, summary)| *summary)
    };
    for name in SUMMARIES {
        summary_lines(name, &measured(name), text)?;
    }
    for name in PERCENTILE_SUMMARIES {
        let summary = measured(name);
        summary_lines(name, &summary, text)?;
        for (rank, value) in ["p50", "p95", "p99", "p999"].iter().zip(summary.percentiles) {
            writeln!(text, "zk_{rank}_{name}\t{value}")?;
        }
    }
    let is_listed = |name: &&str| SUMMARIES.contains(name) || PERCENTILE_SUMMARIES.contains(name);
    for (name, summary) in view.summaries.iter().filter(|(name, _)| !is_listed(&name.as_str())) {
        summary_lines(name, summary, text)?;
    }
    Ok(())
}

fn gauges(view: &View<'_>, text: &mut Text) -> fmt::Result {
    let latency = &view.latency;
    let average = Average { sum: latency.sum_ms, count: latency.count };
    let [last, longest, shortest] = view.response_bytes;
    writeln!(text, "zk_ephemerals_count\t{}", view.ephemeral_count)?;
    writeln!(text, "zk_num_alive_connections\t{}", view.connections_alive)?;
    writeln!(text, "zk_avg_latency\t{average}")?;
    writeln!(text, "zk_outstanding_requests\t{}", view.requests_outstanding)?;
    writeln!(text, "zk_znode_count\t{}", view.node_count)?;
    writeln!(text, "zk_global_sessions\t{}", view.session_count)?;
    writeln!(text, "zk_non_mtls_remote_conn_count\t0")?;
    writeln!(text, "zk_last_client_response_size\t{last}")?;
    writeln!(text, "zk_packets_sent\t{}", view.packets_sent)?;
    writeln!(text, "zk_packets_received\t{}", view.packets_received)?;
    writeln!(text, "zk_max_client_response_size\t{longest}")?;
    writeln!(text, "zk_connection_drop_probability\t{}", view.drop_chance)?;
    writeln!(text, "zk_watch_count\t{}", view.watch_count)?;
    writeln!(text, "zk_auth_failed_count\t{}", view.auth_failed_count)?;
    writeln!(text, "zk_min_latency\t{}", latency.min_ms)?;
    writeln!(text, "zk_max_file_descriptor_count\t{}", view.host.open_files_max)?;
    writeln!(text, "zk_approximate_data_size\t{}", view.data_bytes)?;
    writeln!(text, "zk_open_file_descriptor_count\t{}", view.host.open_files)?;
    writeln!(text, "zk_local_sessions\t{}", view.local_session_count)?;
    writeln!(text, "zk_uptime\t{}", view.uptime_ms)?;
    writeln!(text, "zk_max_latency\t{}", latency.max_ms)?;
    writeln!(text, "zk_outstanding_tls_handshake\t0")?;
    writeln!(text, "zk_min_client_response_size\t{shortest}")?;
    writeln!(text, "zk_non_mtls_local_conn_count\t0")
}

// ZooKeeper: QuotaMetricsUtils
fn quotas(view: &View<'_>, text: &mut Text) -> fmt::Result {
    type Part = fn(&QuotaTotal) -> Option<i64>;
    let parts: [(&str, Part); 4] = [
        ("count_limit", |quota| quota.limits.map(|[count, _]| count)),
        ("bytes_limit", |quota| quota.limits.map(|[_, bytes]| bytes)),
        ("count_usage", |quota| quota.usage.map(|[count, _]| count)),
        ("bytes_usage", |quota| quota.usage.map(|[_, bytes]| bytes)),
    ];
    for (name, part) in parts {
        for quota in &view.quotas {
            if let Some(value) = part(quota) {
                let namespace = quota.namespace.escape_debug();
                writeln!(text, "zk_{namespace}_quota_{name}_per_namespace\t{value}")?;
            }
        }
    }
    Ok(())
}

fn summary_lines(name: &str, summary: &Summary, text: &mut Text) -> fmt::Result {
    let Summary { count, sum, min, max, .. } = *summary;
    writeln!(text, "zk_avg_{name}\t{}", Average { sum, count })?;
    writeln!(text, "zk_min_{name}\t{min}")?;
    writeln!(text, "zk_max_{name}\t{max}")?;
    writeln!(text, "zk_cnt_{name}\t{count}")?;
    writeln!(text, "zk_sum_{name}\t{sum}")
}

/// Counters, in the order Apache lists them.
const COUNTERS: [&str; 51] = [
    "watch_bytes",
    "stale_requests_dropped",
    "throttled_ops",
    "insecure_admin_count",
    "connection_rejected",
    "sessionless_connections_expired",
    "dead_watchers_queued",
    "stale_requests",
    "connection_drop_count",
    "response_packet_cache_hits",
    "bytes_received_count",
    "add_dead_watcher_stall_time",
    "request_throttle_wait_count",
    "requests_not_forwarded_to_commit_processor",
    "response_packet_cache_misses",
    "prep_processor_request_queued",
    "stale_replies",
    "response_bytes",
    "ensemble_auth_fail",
    "diff_count",
    "connection_revalidate_count",
    "quit_leading_due_to_disloyal_voter",
    "unrecoverable_error_count",
    "unsuccessful_handshake",
    "commit_count",
    "outstanding_changes_queued",
    "request_commit_queued",
    "ensemble_auth_skip",
    "skip_learner_request_to_next_processor_count",
    "proposal_count",
    "large_requests_rejected",
    "outstanding_changes_removed",
    "restore_error_count",
    "cnxn_closed_without_zk_server_running",
    "looking_count",
    "snapshot_rate_limited_count",
    "learner_proposal_received_count",
    "digest_mismatches_count",
    "dead_watchers_cleared",
    "ensemble_auth_success",
    "learner_commit_received_count",
    "snapshot_error_count",
    "connection_request_count",
    "response_packet_get_children_cache_misses",
    "snap_count",
    "stale_sessions_expired",
    "restore_rate_limited_count",
    "response_packet_get_children_cache_hits",
    "sync_processor_request_queued",
    "tls_handshake_exceeded",
    "revalidate_count",
];

/// Summaries without percentiles.
const SUMMARIES: [&str; 42] = [
    "socket_closing_time",
    "proposal_process_time",
    "leader_unavailable_time",
    "node_created_watch_count",
    "session_queues_drained",
    "write_commit_proc_req_queued",
    "connection_token_deficit",
    "read_commit_proc_req_queued",
    "node_deleted_watch_count",
    "startup_txns_load_time",
    "sync_processor_queue_size",
    "follower_sync_time",
    "prep_processor_queue_size",
    "fsynctime",
    "inflight_snap_count",
    "reads_issued_from_session_queue",
    "restore_time",
    "learner_request_processor_queue_size",
    "snapshottime",
    "unavailable_time",
    "startup_txns_loaded",
    "reads_after_write_in_session_queue",
    "requests_in_session_queue",
    "write_commit_proc_issued",
    "prep_process_time",
    "pending_session_queue_size",
    "time_waiting_empty_pool_in_commit_processor_read_ms",
    "commit_process_time",
    "dbinittime",
    "inflight_diff_count",
    "netty_queued_buffer_capacity",
    "election_time",
    "commit_commit_proc_req_queued",
    "sync_processor_batch_size",
    "node_children_watch_count",
    "write_batch_time_in_commit_processor",
    "read_commit_proc_issued",
    "concurrent_request_processing_in_commit_processor",
    "observer_sync_time",
    "node_changed_watch_count",
    "sync_process_time",
    "startup_snap_load_time",
];

/// Summaries with percentiles.
const PERCENTILE_SUMMARIES: [&str; 23] = [
    "prep_processor_queue_time_ms",
    "jvm_pause_time_ms",
    "close_session_prep_time",
    "read_commitproc_time_ms",
    "updatelatency",
    "local_write_committed_time_ms",
    "request_throttle_queue_time_ms",
    "readlatency",
    "quorum_ack_latency",
    "om_commit_process_time_ms",
    "read_final_proc_time_ms",
    "commit_propagation_latency",
    "dead_watchers_cleaner_latency",
    "write_final_proc_time_ms",
    "proposal_ack_creation_latency",
    "proposal_latency",
    "om_proposal_process_time_ms",
    "sync_processor_queue_and_flush_time_ms",
    "propagation_latency",
    "server_write_committed_time_ms",
    "sync_processor_queue_time_ms",
    "sync_processor_queue_flush_time_ms",
    "write_commitproc_time_ms",
];
