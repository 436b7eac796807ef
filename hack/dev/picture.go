package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

const (
	// barWidth is the width of the bar of cost against ceiling.
	barWidth = 12
	// messageLines bounds what a pool or an account says about itself.
	messageLines = 3
	// fewestRows of instances are shown however low the screen is.
	fewestRows = 1
)

// render draws a snapshot for a screen. It is pure: the same snapshot and size
// give the same text. No line is wider than width, and there are at most height
// lines unless the screen is too low for anything.
func render(shown *snapshot, paint palette, width, height int) string {
	head := []string{paint.apply(cut("Warmpool", width), heading) + paint.apply(cut("  "+shown.title+"  "+clock(shown.elapsed), max(width-len("Warmpool"), 0)), faint)}
	if shown.problem != "" {
		head = append(head, paint.apply(cut(shown.problem, width), bad))
	}
	head = append(head, "")
	head = append(head, poolLines(shown.pools, paint, width)...)
	head = append(head, "")
	var tail []string
	tail = append(tail, "")
	tail = append(tail, accountLines(shown.accounts, paint, width)...)
	if shown.witness != nil {
		tail = append(tail, "")
		tail = append(tail, witnessLines(shown.witness, shown.ceiling(), paint, width)...)
	}
	room := max(height-len(head)-len(tail)-1, fewestRows)
	lines := append(head, instanceLines(shown.instances, paint, width, room)...)
	lines = append(lines, tail...)
	if len(lines) > height {
		lines = lines[:max(height, 1)]
	}
	return strings.Join(lines, "\n") + "\n"
}

// clock shows minutes and seconds.
func clock(elapsed time.Duration) string {
	total := int(elapsed.Seconds())
	return fmt.Sprintf("%d:%02d", total/60, total%60)
}

func toneOf(status string) tone {
	switch status {
	case "True":
		return good
	case "False":
		return waiting
	default:
		return faint
	}
}

func count(n int32, meaning tone) cell { return cell{strconv.Itoa(int(n)), meaning} }

func poolLines(pools []poolRow, paint palette, width int) []string {
	if len(pools) == 0 {
		return []string{paint.apply(cut("There is no pool. Nothing is rented for one.", width), faint)}
	}
	t := &table{columns: []column{
		{title: "POOL", shrinks: 2},
		{title: "DESIRED", right: true},
		{title: "READY", right: true},
		{title: "PENDING", right: true},
		{title: "$/H", right: true},
		{title: "CEILING", right: true},
		{title: "USED", optional: true},
		{title: "STATUS"},
		{title: "REASON", shrinks: 1},
	}}
	for k := range pools {
		pool := &pools[k]
		readiness := waiting
		if pool.ready >= pool.desired {
			readiness = good
		}
		cost := good
		if pool.committed > pool.ceiling {
			cost = bad
		}
		status, reason := pool.status, pool.reason
		if pool.deleting {
			status, reason = "-", "Deleting"
		}
		t.rows = append(t.rows, []cell{
			{pool.name, plain},
			count(pool.desired, plain), count(pool.ready, readiness), count(pool.pending+pool.waiting, plain),
			{pool.committed.Cents(), plain},
			{pool.ceiling.String(), plain},
			{bar(int64(pool.committed), int64(pool.ceiling), barWidth) + " " + percent(int64(pool.committed), int64(pool.ceiling)), cost},
			{status, toneOf(status)},
			{reason, toneOf(status)},
		})
	}
	lines := t.lines(paint, width)
	for k := range pools {
		if pools[k].status != "True" || pools[k].ready < pools[k].desired {
			lines = append(lines, message(pools[k].name, pools[k].message, paint, width)...)
		}
	}
	return lines
}

// message says in whole sentences what a reason says in one word.
func message(name, text string, paint palette, width int) []string {
	if text == "" {
		return nil
	}
	margin := strings.Repeat(" ", min(2, width-1))
	broken := wrapped(name+": "+text, max(width-len(margin), 1))
	if len(broken) > messageLines {
		broken = broken[:messageLines]
		broken[messageLines-1] = cut(broken[messageLines-1]+" …", max(width-len(margin), 1))
	}
	for k, line := range broken {
		broken[k] = margin + paint.apply(line, faint)
	}
	return broken
}

func instanceLines(instances []instanceRow, paint palette, width, room int) []string {
	if len(instances) == 0 {
		return []string{paint.apply(cut("There is no instance.", width), faint)}
	}
	t := &table{columns: []column{
		{title: "INSTANCE", shrinks: 2},
		{title: "RENTAL", right: true},
		{title: "GPU", shrinks: 3},
		{title: "$/H", right: true},
		{title: "VAST", optional: true},
		{title: "READY"},
		{title: "REASON", shrinks: 1},
		{title: "AGE", right: true},
		{title: "PLACE", optional: true},
	}}
	hidden := 0
	if len(instances) > room {
		hidden = len(instances) - max(room-1, fewestRows)
		instances = instances[:len(instances)-hidden]
	}
	for k := range instances {
		instance := &instances[k]
		meaning := toneOf(instance.ready)
		if instance.deleting {
			meaning = faint
		}
		rental, provider := "-", instance.provider
		if instance.rental != 0 {
			rental = strconv.FormatInt(instance.rental, 10)
		}
		if provider == "" {
			provider = "-"
		}
		t.rows = append(t.rows, []cell{
			{instance.name, plain},
			{rental, plain},
			{dash(instance.gpu), plain},
			{cents(instance.price), plain},
			{provider, plain},
			{instance.ready, meaning},
			{dash(instance.reason), meaning},
			{duration.HumanDuration(instance.age), plain},
			{instance.place, faint},
		})
	}
	lines := t.lines(paint, width)
	if hidden > 0 {
		lines = append(lines, paint.apply(cut(fmt.Sprintf("and %d more: kubectl get warminstances", hidden), width), faint))
	}
	return lines
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// cents shortens an amount for a column; what is not known stays a dash.
func cents(text string) string {
	if text == "" {
		return "-"
	}
	return dollars(text).Cents()
}

// twoDecimals shortens a balance, which may be negative, towards zero.
func twoDecimals(text string) string {
	whole, decimals, found := strings.Cut(text, ".")
	if !found || len(decimals) <= 2 {
		return dash(text)
	}
	return whole + "." + decimals[:2]
}

func accountLines(accounts []accountRow, paint palette, width int) []string {
	if len(accounts) == 0 {
		return []string{paint.apply(cut("There is no account.", width), faint)}
	}
	t := &table{columns: []column{
		{title: "ACCOUNT", shrinks: 2},
		{title: "BALANCE", right: true},
		{title: "$/H", right: true},
		{title: "CEILING", right: true},
		{title: "OURS", right: true},
		{title: "FOREIGN", right: true},
		{title: "READY"},
		{title: "REASON", shrinks: 1},
	}}
	for k := range accounts {
		account := &accounts[k]
		t.rows = append(t.rows, []cell{
			{account.name, plain},
			{twoDecimals(account.balance), plain},
			{cents(account.committed), plain},
			{account.ceiling, plain},
			count(account.ours, plain), count(account.foreign, plain),
			{account.ready, toneOf(account.ready)},
			{dash(account.reason), toneOf(account.ready)},
		})
	}
	lines := t.lines(paint, width)
	for k := range accounts {
		if accounts[k].ready == "False" {
			lines = append(lines, message(accounts[k].name, accounts[k].message, paint, width)...)
		}
	}
	return lines
}

// ceiling is the pools' ceilings together: what all rentals of ours may cost.
func (s *snapshot) ceiling() int64 {
	sum := int64(0)
	for k := range s.pools {
		sum += int64(s.pools[k].ceiling)
	}
	return sum
}

func witnessLines(w *witnessRow, ceiling int64, paint palette, width int) []string {
	peak := plain
	if ceiling > 0 && int64(w.peak) > ceiling {
		peak = waiting
	}
	twice := cell{"none", good}
	if w.rentedTwice > 0 {
		twice = cell{strconv.Itoa(w.rentedTwice), bad}
	}
	t := &table{
		columns: []column{
			{title: "METER", shrinks: 1},
			{title: "RENTALS", right: true},
			{title: "LIVE", right: true},
			{title: "$/H NOW", right: true},
			{title: "$/H PEAK", right: true},
			{title: "COST $", right: true},
			{title: "RENTED TWICE"},
		},
		rows: [][]cell{{
			{"simulator", plain},
			{strconv.Itoa(w.rentals), plain},
			{strconv.Itoa(w.live), plain},
			{w.now.Cents(), plain},
			{w.peak.Cents(), peak},
			{w.cost.Cents(), plain},
			twice,
		}},
	}
	lines := t.lines(paint, width)
	if w.foreign > 0 {
		lines = append(lines, paint.apply(cut(fmt.Sprintf("  and %d live rentals that are not Warmpool's", w.foreign), width), faint))
	}
	return lines
}
