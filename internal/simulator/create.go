package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

const (
	// minDiskGB is the least disk; maxCreateLabel the longest label at a rent.
	minDiskGB      = 8
	maxCreateLabel = 256
	maxLabel       = 1024
	// maxImage, maxEnv and maxScript bound a rent, in characters.
	maxImage  = 1024
	maxEnv    = 32_768
	maxScript = 4096
	// defaultDiskGB is what the platform gives when nothing is asked for.
	defaultDiskGB = 10
	maxOpenPorts  = 64
)

// createOrder is what a rent asks for, after templates were applied.
type createOrder struct {
	image, onStart, runType string
	env                     map[string]string
	extraEnv                schema.EnvPairs
	ports                   []string // "8188/tcp", in order
	diskGB                  float64
	bid                     *float64
	templateHash            string
}

var publishedPort = regexp.MustCompile(`^-p\s+(\d+):(\d+)(?:/(tcp|udp))?$`)

// portFlag reads a published port: "-p 8188:8188" or "-p 70000:70000/udp".
func portFlag(key string) (string, bool) {
	match := publishedPort.FindStringSubmatch(strings.TrimSpace(key))
	if match == nil {
		return "", false
	}
	number, err := strconv.Atoi(match[2])
	if err != nil || number == 0 || (number > 65_535 && number < identityFloor) {
		return "", false
	}
	return strconv.Itoa(number) + "/" + orDefault(match[3], "tcp"), true
}

// newOrder reads a rent; a refused one comes back as an answer.
func newOrder(id int64, body *schema.RentRequest) (createOrder, *answer) {
	o := createOrder{
		image: string(body.Image), onStart: string(body.OnStart), runType: string(body.RunType),
		env: map[string]string{}, diskGB: numberOf(body.Disk), templateHash: string(body.TemplateHashID),
	}
	all := map[string]string{}
	if t, ok := templateByHash(string(body.TemplateHashID)); ok {
		o.image = orDefault(o.image, t.image)
		o.onStart = orDefault(o.onStart, t.onStart)
		o.runType = orDefault(o.runType, t.runType)
		maps.Copy(all, t.env)
	}
	maps.Copy(all, body.Env)
	o.runType = orDefault(o.runType, "ssh")
	o.diskGB = orDefault(o.diskGB, defaultDiskGB)
	if body.Price.IsSet() {
		bid := numberOf(body.Price)
		o.bid = &bid
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if port, ok := portFlag(name); ok {
			o.ports = append(o.ports, port)
		} else if !strings.HasPrefix(name, "-") {
			o.env[name] = all[name]
		}
	}
	o.addRunTypePorts()
	o.extraEnv = schema.EnvObject(all).Pairs()
	return o, o.refuse(id, body)
}

// addRunTypePorts publishes what direct SSH and Jupyter need.
func (o *createOrder) addRunTypePorts() {
	if strings.Contains(o.runType, "ssh_direc") {
		o.ports = append(o.ports, strconv.Itoa(sshPort)+"/tcp")
	}
	if strings.Contains(o.runType, "jupyter_direc") {
		o.ports = append(o.ports, strconv.Itoa(jupyterPort)+"/tcp")
	}
	slices.Sort(o.ports)
	o.ports = slices.Compact(o.ports)
}

// refuse checks the documented limits of a rent.
func (o *createOrder) refuse(id int64, body *schema.RentRequest) *answer {
	const leastBid, greatestBid = 0.001, 128
	problem, slug := o.tooLong(body), "invalid_args"
	switch {
	case problem != "":
	case o.image == "":
		problem = "'image' is required"
	case o.diskGB < minDiskGB:
		problem = fmt.Sprintf("'disk' must be at least %d GB", minDiskGB)
	case len(body.Label) > maxCreateLabel:
		problem, slug = "'label' is too long", "label_too_long"
	case o.bid != nil && (*o.bid < leastBid || *o.bid > greatestBid):
		problem, slug = "'price' must be between 0.001 and 128", "invalid_price"
	default:
		return nil
	}
	reply := askFailure(http.StatusBadRequest, slug, "error 400/3467: Invalid args: "+problem, id)
	return &reply
}

// tooLong names what exceeds its documented length, "" when nothing does.
func (o *createOrder) tooLong(body *schema.RentRequest) string {
	total := 0
	for _, pair := range o.extraEnv {
		total += len(pair[0]) + len(pair[1])
	}
	switch {
	case len(o.image) > maxImage:
		return "'image' is too long"
	case total > maxEnv:
		return "'env' is too long"
	case len(o.ports) > maxOpenPorts:
		return "too many open ports"
	case len(body.OnStart)+len(body.ArgsStr) > maxScript:
		return "'onstart' and 'args' are too long"
	default:
		return ""
	}
}

// askFailure is an error of a rent; it names the offer.
func askFailure(status int, slug, msg string, id int64) answer {
	return jsonAnswer(status, object{"success": false, "error": slug, "msg": msg, "ask_id": id})
}

// offerGone is the refusal for an offer that is not there (any more).
func offerGone(id int64, cancelUnavailable bool) answer {
	if cancelUnavailable {
		return askFailure(http.StatusGone, "no_such_ask",
			fmt.Sprintf("error 410/3907: no_such_ask Instance type %d is no longer available.", id), id)
	}
	return askFailure(http.StatusNotFound, "invalid_args",
		fmt.Sprintf("error 404/3603: no_such_ask Instance type by id %d is not available.", id), id)
}

// handleCreate answers PUT /asks/{id}/.
func handleCreate(w *world, c *call) answer {
	var body schema.RentRequest
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	order, refused := newOrder(c.id, &body)
	if refused != nil {
		return *refused
	}
	if reply, ok := w.faultCreate(c, &body); ok {
		return reply
	}
	c.principal.account.settle(w.now)
	if c.principal.account.broke() {
		return insufficientCredit()
	}
	o := w.market.offers[c.id]
	if o == nil || o.machine.taken {
		return offerGone(c.id, body.CancelUnavail != nil && bool(*body.CancelUnavail))
	}
	if number(o.machine.rows[len(o.gpus)]["disk_space"]) < order.diskGB {
		return askFailure(http.StatusBadRequest, "invalid_args",
			"error 400/3467: Invalid args: 'disk' exceeds what the offer has", c.id)
	}
	r := w.rent(o, order, nullable(body.Label), c.principal.account)
	if order.bid != nil && *order.bid < number(r.row["min_bid"])*r.machine.factor {
		// The contract exists all the same: stopped, billing storage.
		w.refuseBid(r)
		return jsonAnswer(http.StatusBadRequest, object{
			"success": false, "error": "insufficient_bid", "new_contract": r.id, "ask_id": c.id,
			"msg": "Your bid is lower than the minimum bid; the instance was created stopped.",
		})
	}
	if body.TargetState == stateStopped {
		w.halt(r, "")
	}
	return okAnswer(object{"success": true, "new_contract": r.id, "instance_api_key": r.instanceAPIKey})
}

// insufficientCredit is the refusal without money; it has no "success".
func insufficientCredit() answer {
	return jsonAnswer(http.StatusBadRequest, object{
		"error": "insufficient_credit", "msg": "Your account lacks credit; see the billing page.",
	})
}

// refuseBid leaves a contract stopped from the start.
func (w *world) refuseBid(r *rental) {
	r.epoch++
	r.setStates(stateStopped, stateStopped, stateStopped)
	r.setStatus("", "")
	w.bill(r, stateStopped, false, true)
	w.freeGPUs(r)
}

// rent makes the contract. It cannot fail.
func (w *world) rent(o *offer, order createOrder, label *string, owner *account) *rental {
	w.nextID += 1 + w.draws.Int64N(5)
	size := len(o.gpus)
	r := &rental{
		id: w.nextID, account: owner, machine: o.machine, row: o.machine.rows[size], gpus: o.gpus, size: size,
		order: order, label: label, startDate: w.now, endDate: o.machine.endDate,
		draws: stream(w.cfg.Seed, uint64(w.nextID)), //nolint:gosec // ids are positive
	}
	r.seed = r.draws.Uint64()
	const tokenDigits = 64
	r.jupyterToken, r.instanceAPIKey = w.newHex(tokenDigits), w.newHex(tokenDigits)
	r.record = &RentalRecord{ID: r.id, OfferID: o.id, MachineID: r.machine.id, HostID: r.machine.hostID, Start: w.now, Origin: "api"}
	if label != nil {
		r.record.Label = *label
	}
	if owner == w.account {
		w.records = append(w.records, r.record)
	}
	w.keys[r.instanceAPIKey] = &apiKey{account: owner, instance: r.id}
	w.rentals[r.id] = r
	w.order = append(w.order, r.id)
	w.market.take(o)
	r.dphDisk = r.machine.storageRate(size, order.diskGB)
	base := r.machine.price(size)
	if order.bid != nil {
		base = *order.bid
	}
	w.applyLifeFaults(r, &base)
	w.reprice(r, base)
	w.provision(r)
	w.at(r.endDate, func() { w.expire(r) })
	w.notify(r, false)
	return r
}

// expire stops a rental at its end date; two days later the host deletes it.
func (w *world) expire(r *rental) {
	const keptAfterEnd = 48 * time.Hour
	if !r.goneAt.IsZero() {
		return
	}
	w.halt(r, "Contract ended")
	w.after(keptAfterEnd, func() { w.end(r, endExpired, 0) })
}

// handleLaunch answers PUT /launch_instance/: the server picks the best offer.
func handleLaunch(w *world, c *call) answer {
	var body struct {
		Q schema.SearchRequest `json:"q"`
	}
	if reply, ok := decode(c, &body); !ok {
		return reply
	}
	rows := w.market.search(&body.Q, w.now)
	if len(rows) == 0 {
		return failure(http.StatusNotFound, "no_such_ask", "error 404/3603: no_such_ask No offer matches.")
	}
	c.id = integer(rows[0]["id"])
	return handleCreate(w, c)
}
