package main

import "fmt"

// changes says in lines what is different from the snapshot before, for those
// who read a log and not a screen. before may be nil.
func changes(before, after *snapshot) []string {
	if before == nil {
		before = &snapshot{}
	}
	stamp := fmt.Sprintf("%6s  ", clock(after.elapsed))
	var lines []string
	was := map[string]string{}
	for _, line := range sentences(before) {
		was[line.subject] = line.text
	}
	for _, line := range sentences(after) {
		if was[line.subject] != line.text {
			lines = append(lines, stamp+line.subject+": "+line.text)
		}
		delete(was, line.subject)
	}
	for _, line := range sentences(before) {
		if _, gone := was[line.subject]; gone {
			lines = append(lines, stamp+line.subject+": gone")
		}
	}
	return lines
}

// sentence is what there is to say of one thing.
type sentence struct{ subject, text string }

func sentences(shown *snapshot) []sentence {
	var all []sentence
	if shown.problem != "" {
		all = append(all, sentence{"problem", shown.problem})
	}
	for k := range shown.pools {
		pool := &shown.pools[k]
		text := fmt.Sprintf("%d of %d ready, $%s of $%s per hour, %s", pool.ready, pool.desired, pool.committed.Cents(), pool.ceiling, dash(pool.reason))
		if pool.deleting {
			text = fmt.Sprintf("deleting, $%s per hour left", pool.committed.Cents())
		}
		all = append(all, sentence{"pool " + pool.name, text})
	}
	for k := range shown.instances {
		instance := &shown.instances[k]
		text := dash(instance.reason)
		if instance.rental != 0 {
			text = fmt.Sprintf("rental %d, %s, $%s per hour, %s", instance.rental, instance.gpu, cents(instance.price), dash(instance.reason))
		}
		all = append(all, sentence{"instance " + instance.name, text})
	}
	for k := range shown.accounts {
		account := &shown.accounts[k]
		all = append(all, sentence{"account " + account.name, fmt.Sprintf("%d instances of ours, %s", account.ours, dash(account.reason))})
	}
	if w := shown.witness; w != nil {
		all = append(all, sentence{"meter", fmt.Sprintf("%d rentals, %d live, peak $%s per hour", w.rentals, w.live, w.peak.Cents())})
	}
	return all
}
