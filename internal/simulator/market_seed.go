package simulator

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"time"
)

// recordings are complete answers of the offer search (market/NOTICE). The
// first one, by name, is what is listed at the start; machines that only the
// others have are there, but absent.
//
//go:embed market/*.json.gz
var recordings embed.FS

// replicaStride keeps the ids of replicated machines and offers apart.
const replicaStride = 100_000_000

// What a test's own offers have, so that no rent fails for want of it.
const (
	specDiskGB = 1000
	specPorts  = 200
)

// loadRecordings reads the recorded rows of so many snapshots, latest first; 0 is all.
func loadRecordings(most int) ([][]map[string]any, error) {
	entries, err := recordings.ReadDir("market")
	if err != nil {
		return nil, fmt.Errorf("reading recorded offers: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() })
	slices.Reverse(entries)
	if most > 0 {
		entries = entries[:most]
	}
	snapshots := make([][]map[string]any, 0, len(entries))
	for _, entry := range entries {
		data, err := recordings.ReadFile("market/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading recorded offers %s: %w", entry.Name(), err)
		}
		unpacked, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("unpacking recorded offers %s: %w", entry.Name(), err)
		}
		var rows []map[string]any
		if err := json.NewDecoder(unpacked).Decode(&rows); err != nil {
			return nil, fmt.Errorf("decoding recorded offers %s: %w", entry.Name(), err)
		}
		snapshots = append(snapshots, rows)
	}
	return snapshots, nil
}

// seedMarket fills the market as the configuration says.
func seedMarket(cfg Config, now time.Time) (*market, error) {
	most := 0
	if cfg.Market.Offers != nil || cfg.Market.Limit > 0 {
		most = 1
	}
	var snapshots [][]map[string]any
	if cfg.Market.Recording != nil && most == 1 {
		snapshots = [][]map[string]any{cfg.Market.Recording.rows}
	} else {
		var err error
		if snapshots, err = loadRecordings(most); err != nil {
			return nil, err
		}
	}
	m := newMarket(cfg.Seed)
	switch {
	case cfg.Market.Offers != nil:
		for _, spec := range cfg.Market.Offers {
			if _, err := m.addSpec(spec, snapshots[0], now); err != nil {
				return nil, err
			}
		}
	case cfg.Market.Limit > 0:
		m.addLimited(snapshots[0], cfg.Market.Limit, now)
	default:
		for replica := range cfg.Market.Replicas {
			m.addRecorded(snapshots, int64(replica)*replicaStride, now)
		}
	}
	return m, nil
}

// addRecorded adds the machines of all snapshots; those of the first are listed
// under their recorded ids.
func (m *market) addRecorded(snapshots [][]map[string]any, shift int64, now time.Time) {
	for age, rows := range snapshots {
		grouped := map[int64][]map[string]any{}
		for _, row := range rows {
			id := integer(row["machine_id"]) + shift
			grouped[id] = append(grouped[id], row)
		}
		for _, id := range slices.Sorted(maps.Keys(grouped)) {
			if m.machines[id] != nil {
				continue
			}
			c := newMachine(id, integer(grouped[id][0]["host_id"]), grouped[id], now)
			c.absent = age > 0
			m.add(c)
			for _, row := range grouped[id] {
				size := int(integer(row["num_gpus"]))
				if !c.absent && c.listed[size] == nil {
					m.list(c, size, integer(row["id"])+shift)
				}
			}
		}
	}
}

// addLimited adds one slice each of the cheapest verified machines.
func (m *market) addLimited(rows []map[string]any, limit int, now time.Time) {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b map[string]any) int {
		return cmp.Or(
			cmp.Compare(integer(a["num_gpus"]), integer(b["num_gpus"])),
			cmp.Compare(number(a["dph_total"]), number(b["dph_total"])),
			cmp.Compare(integer(a["id"]), integer(b["id"])),
		)
	})
	for _, row := range rows {
		id := integer(row["machine_id"])
		if len(m.machines) == limit || m.machines[id] != nil || row["verification"] != "verified" {
			continue
		}
		c := newMachine(id, integer(row["host_id"]), []map[string]any{row}, now)
		c.busy = make([]bool, integer(row["num_gpus"]))
		m.add(c)
		m.list(c, len(c.busy), integer(row["id"]))
	}
}

// addSpec adds one offer of a test's own market and returns its id.
func (m *market) addSpec(spec OfferSpec, rows []map[string]any, now time.Time) (int64, error) {
	if spec.GPUs < 0 || spec.PriceMicros < 0 || spec.StorageMicrosPerGBMonth < 0 {
		return 0, fmt.Errorf("%w: offer with a negative amount", errInvalidConfig)
	}
	row := maps.Clone(templateRow(rows))
	size := orDefault(spec.GPUs, 1)
	row["gpu_name"] = orDefault(spec.GPUName, "RTX 4090")
	row["num_gpus"] = float64(size)
	row["gpu_total_ram"] = number(row["gpu_ram"]) * float64(size)
	row["disk_space"], row["direct_port_count"] = float64(specDiskGB), float64(specPorts)
	row["storage_cost"] = toUSD(spec.StorageMicrosPerGBMonth)
	if spec.PriceMicros > 0 {
		row["dph_base"] = toUSD(spec.PriceMicros)
		row["min_bid"] = toUSD(spec.PriceMicros / 2)
	}
	maps.Copy(row, spec.Fields)
	machineID := spec.MachineID
	if machineID == 0 {
		machineID = 60_000 + int64(len(m.machines)) + 1
	}
	c := m.machines[machineID]
	if c == nil {
		c = newMachine(machineID, orDefault(spec.HostID, 900_000+machineID), nil, now)
		m.add(c)
	}
	c.rows[size] = row
	for len(c.busy) < max(size, spec.MachineGPUs) {
		c.busy = append(c.busy, false)
	}
	if c.endDate.IsZero() {
		c.endDate = endOf(row, now)
	}
	if m.offers[spec.ID] != nil {
		return 0, fmt.Errorf("%w: offer id %d twice", errInvalidConfig, spec.ID)
	}
	m.list(c, size, spec.ID)
	if c.listed[size] == nil {
		return 0, nil
	}
	return c.listed[size].id, nil
}

// templateRow returns a verified single RTX 4090 row.
func templateRow(rows []map[string]any) map[string]any {
	for _, row := range rows {
		if row["gpu_name"] == "RTX 4090" && row["verification"] == "verified" && integer(row["num_gpus"]) == 1 {
			return row
		}
	}
	return rows[0]
}

// newMachine makes a machine of its recorded rows.
func newMachine(id, hostID int64, rows []map[string]any, now time.Time) *machine {
	c := &machine{id: id, hostID: hostID, rows: map[int]map[string]any{}, listed: map[int]*offer{}, factor: 1}
	gpus := 0
	for _, row := range rows {
		size := int(integer(row["num_gpus"]))
		c.rows[size] = row
		gpus = max(gpus, size)
		if fraction := number(row["gpu_frac"]); fraction > 0 {
			gpus = max(gpus, int(math.Round(float64(size)/fraction)))
		}
		c.endDate = endOf(row, now)
	}
	c.busy = make([]bool, gpus)
	return c
}

// endOf returns when an offer ends: as long from now as it was when recorded.
func endOf(row map[string]any, now time.Time) time.Time {
	const most = 5 * 365 * 24 * 3600
	return now.Add(time.Duration(min(number(row["duration"]), most)) * time.Second)
}

// number reads a recorded number; anything else is 0.
func number(value any) float64 {
	switch v := value.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	case int64:
		return float64(v)
	default:
		return 0
	}
}

// integer reads a recorded whole number.
func integer(value any) int64 { return int64(number(value)) }
