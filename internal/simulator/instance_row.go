package simulator

import (
	"fmt"
	"maps"
	"strconv"
)

// rowFields are the recorded fields that an instance row takes over.
func rowFields() []string {
	return []string{
		"bundle_id", "bw_nvlink", "compute_cap", "cpu_arch", "cpu_cores", "cpu_cores_effective", "cpu_name",
		"cpu_ram", "credit_discount_max", "cuda_max_good", "direct_port_count", "disk_bw", "disk_name",
		"dlperf", "driver_version", "geolocation", "gpu_arch", "gpu_display_active", "gpu_frac", "gpu_lanes",
		"gpu_mem_bw", "gpu_name", "gpu_ram", "has_avx", "hosting_type", "inet_down", "inet_down_cost",
		"inet_up", "inet_up_cost", "internet_down_cost_per_tb", "internet_up_cost_per_tb", "logo",
		"mobo_name", "num_gpus", "os_version", "pci_gen", "pcie_bw", "reliability2", "score", "static_ip",
		"storage_cost", "total_flops", "verification", "webpage",
	}
}

// instanceRow is a rental as it goes on the wire. Lock held.
func (w *world) instanceRow(r *rental, inList bool) object {
	row := make(object, 100)
	for _, name := range rowFields() {
		row[name] = r.row[name]
	}
	maps.Copy(row, object{
		"id": r.id, "machine_id": r.machine.id, "host_id": r.machine.hostID,
		"actual_status": w.shownStatus(r), "intended_status": r.intended,
		"cur_state": r.current, "next_state": r.next, "status_msg": r.statusMsg,
		"label": r.label, "image_uuid": r.order.image, "image_runtype": r.order.runType,
		"image_args": []string{}, "extra_env": r.order.extraEnv, "onstart": emptyNull(r.order.onStart),
		"jupyter_token": r.jupyterToken, "template_id": nil, "template_name": nil,
		"template_hash_id": emptyNull(r.order.templateHash),
		"country_code":     countryOf(r.row["geolocation"]),
		"disk_space":       r.order.diskGB, "disk_usage": -1, "disk_util": -1,
		"start_date": epoch(r.startDate), "end_date": epoch(r.endDate),
		"duration": max(0, r.endDate.Sub(w.now).Seconds()), "uptime_mins": w.uptime(r),
		"time_remaining": "", "time_remaining_isbid": "",
		"gpu_totalram": r.row["gpu_total_ram"], "gpu_util": nil, "gpu_temp": nil, "cpu_util": 0,
		"mem_limit": nil, "mem_usage": nil, "vmem_usage": nil,
		"rentable": true, "external": false, "client_run_time": 1.1, "host_run_time": 2_592_000,
		"credit_balance": nil, "credit_discount": nil, "inet_up_billed": nil, "inet_down_billed": nil,
	})
	maps.Copy(row, r.moneyFields())
	maps.Copy(row, w.networkFields(r))
	if inList {
		row["volume_info"] = []any{}
	}
	return row
}

// moneyFields are the amounts of a row, in dollars per hour.
func (r *rental) moneyFields() object {
	now := breakdown(r.dphBase, r.dphDisk)
	if r.current != stateRunning {
		now = breakdown(0, r.dphDisk)
	}
	return object{
		"is_bid": r.order.bid != nil, "min_bid": number(r.row["min_bid"]) * r.machine.factor,
		"dph_base": r.dphBase, "dph_total": r.dphTotal, "storage_total_cost": r.dphDisk,
		"search": breakdown(r.dphBase, r.dphDisk), "instance": now,
		"dlperf_per_dphtotal": ratio(number(r.row["dlperf"]), r.dphTotal),
		"flops_per_dphtotal":  ratio(number(r.row["total_flops"]), r.dphTotal),
		"vram_costperhour":    ratio(r.dphBase, number(r.row["gpu_total_ram"])),
	}
}

// networkFields are the addresses of a row. "ports" is absent, not empty, until
// the container really runs.
func (w *world) networkFields(r *rental) object {
	const proxyHosts = 9
	fields := object{
		"ssh_host": w.sshHost, "ssh_idx": strconv.FormatInt(r.id%proxyHosts+1, 10), "ssh_port": w.sshPort,
		"machine_dir_ssh_port": -1, "public_ipaddr": nil, "local_ipaddrs": "127.0.0.1 \n",
		"direct_port_start": -1, "direct_port_end": -1,
	}
	if r.showAddress {
		fields["public_ipaddr"] = w.cfg.InstanceAddress
		if r.badAddress {
			fields["public_ipaddr"] = " " + w.cfg.InstanceAddress + " \n"
		}
	}
	if r.showPorts && r.container != nil && len(r.container.ports) > 0 {
		fields["ports"] = r.container.portMap()
		first, last := 1<<16, 0
		for _, port := range r.container.ports {
			first, last = min(first, port), max(last, port)
		}
		fields["direct_port_start"], fields["direct_port_end"] = first, last
	}
	return fields
}

// uptime is null until the container runs.
func (w *world) uptime(r *rental) any {
	if r.container == nil || len(r.record.Intervals) == 0 {
		return nil
	}
	return w.now.Sub(r.record.Intervals[len(r.record.Intervals)-1].From).Minutes()
}

// emptyNull is null for an empty text.
func emptyNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// stored returns a column that is kept on the contract; the list filters and
// sorts by these alone.
func (r *rental) stored(column string) (any, bool) {
	columns := map[string]any{
		"id": r.id, "label": pointee(r.label), "actual_status": pointee(r.actual),
		"intended_status": r.intended, "cur_state": r.current, "next_state": r.next,
		"machine_id": r.machine.id, "host_id": r.machine.hostID,
		"start_date": epoch(r.startDate), "end_date": epoch(r.endDate),
		"gpu_name": r.row["gpu_name"], "verification": r.row["verification"], "geolocation": r.row["geolocation"],
		"image_uuid": r.order.image, "is_bid": r.order.bid != nil,
	}
	value, ok := columns[column]
	return value, ok
}

// pointee returns what a nullable text holds.
func pointee(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

// notAKey is the refusal of a filter or order by something computed.
func notAKey(column string) answer {
	return jsonAnswer(400, object{
		"error": "invalid_request",
		"msg":   fmt.Sprintf("Error in query parameters: %s is not a valid search key", column),
	})
}
