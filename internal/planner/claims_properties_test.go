package planner

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// claimStore is an API server with claims and instances, each with a resource
// version: a write on a version that is not the newest one is refused.
type claimStore struct {
	t         *rapid.T
	now       time.Time
	replicas  int
	nextName  int
	claims    map[string]*storedClaim
	instances map[string]*storedInstance
	// everHeld is true once two bindings were made, so that a run shows something.
	bound, released int
}

type storedClaim struct {
	Claim
	version int
}

type storedInstance struct {
	ClaimInstance
	version int
}

// snapshot is what somebody has read: the instances first, then the claims.
type snapshot struct {
	instances []storedInstance
	claims    []storedClaim
}

func (s *claimStore) readInstances() []storedInstance {
	var read []storedInstance
	for _, name := range sortedKeys(s.instances) {
		read = append(read, *s.instances[name])
	}
	return read
}

func (s *claimStore) readClaims() []storedClaim {
	var read []storedClaim
	for _, uid := range sortedKeys(s.claims) {
		read = append(read, *s.claims[uid])
	}
	return read
}

func sortedKeys[T any](from map[string]T) []string {
	keys := make([]string, 0, len(from))
	for key := range from {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (s *claimStore) name(prefix string) string {
	s.nextName++
	return fmt.Sprintf("%s%03d", prefix, s.nextName)
}

// writeClaim changes a claim, if it is still of the version that was read.
func (s *claimStore) writeClaim(read *storedClaim, change func(*Claim)) {
	there, found := s.claims[read.UID]
	if !found || there.version != read.version {
		return
	}
	change(&there.Claim)
	there.version++
	*read = *there
	s.check()
}

// writeInstance changes an instance on the version that was read; nil deletes it.
func (s *claimStore) writeInstance(read *storedInstance, change func(*ClaimInstance)) bool {
	there, found := s.instances[read.UID]
	if !found || there.version != read.version || there.Deleting {
		return false
	}
	change(&there.ClaimInstance)
	there.Claimed = there.ClaimUID != ""
	there.version++
	*read = *there
	s.check()
	return true
}

// check is what must be true after every write: no instance was told to two
// claims that go on, and what a claim was told is its own or is lost.
func (s *claimStore) check() {
	told := map[string]string{}
	for _, uid := range sortedKeys(s.claims) {
		claim := s.claims[uid]
		if claim.Told == "" || claim.Finished || claim.Deleting {
			continue
		}
		if other, twice := told[claim.Told]; twice {
			s.t.Fatalf("claims %s and %s hold instance %s", other, uid, claim.Told)
		}
		told[claim.Told] = uid
		instance, found := s.instances[claim.Told]
		if found && !instance.Deleting && (instance.ClaimUID != uid || !instance.RecycleAt.IsZero()) {
			s.t.Fatalf("claim %s goes on, and its instance %s is taken from it (held by %q)", uid, claim.Told, instance.ClaimUID)
		}
	}
}

// binder is one process that serves claims, step by step: every read and every
// write is a step, between which anything may happen.
type binder struct {
	store *claimStore
	seen  snapshot
	todo  []func()
}

// step does the next read or write.
func (b *binder) step() {
	if len(b.todo) == 0 {
		b.todo = []func(){
			func() { b.seen.instances = b.store.readInstances() },
			func() { b.seen.claims = b.store.readClaims(); b.planEnds() },
		}
	}
	next := b.todo[0]
	b.todo = b.todo[1:]
	next()
}

// crash forgets everything.
func (b *binder) crash() { b.todo, b.seen = nil, snapshot{} }

func (b *binder) input() *ClaimsInput {
	in := claimsAt(0, nil)
	in.Now, in.Pool.MaxPending, in.Pool.RecycleDeadlineSeconds = b.store.now, 4, 60
	for k := range b.seen.claims {
		in.Claims = append(in.Claims, b.seen.claims[k].Claim)
	}
	for k := range b.seen.instances {
		in.Instances = append(in.Instances, b.seen.instances[k].ClaimInstance)
	}
	return in
}

func (b *binder) claim(uid string) *storedClaim {
	at := slices.IndexFunc(b.seen.claims, func(c storedClaim) bool { return c.UID == uid })
	if at < 0 {
		return nil
	}
	return &b.seen.claims[at]
}

func (b *binder) instance(uid string) *storedInstance {
	at := slices.IndexFunc(b.seen.instances, func(i storedInstance) bool { return i.UID == uid })
	if at < 0 {
		return nil
	}
	return &b.seen.instances[at]
}

// planEnds writes down which claims end; then come the bindings and releases.
func (b *binder) planEnds() {
	plan := ComputeClaims(b.input())
	for k := range plan.Verdicts {
		if uid := plan.Verdicts[k].UID; plan.Verdicts[k].Ends {
			b.todo = append(b.todo, func() { b.store.writeClaim(b.claim(uid), func(c *Claim) { c.Finished = true }) })
		}
	}
	b.todo = append(b.todo, b.planActs)
}

// planActs binds and releases; then comes the report.
func (b *binder) planActs() {
	plan := ComputeClaims(b.input())
	for _, binding := range plan.Bind {
		b.todo = append(b.todo, func() {
			now := b.store.now
			if b.store.writeInstance(b.instance(binding.InstanceUID), func(i *ClaimInstance) {
				if i.ClaimUID != "" {
					b.store.t.Fatalf("instance %s is held by %s and given to %s", i.UID, i.ClaimUID, binding.ClaimUID)
				}
				i.ClaimUID, i.ClaimName, i.BoundAt, i.RecycleAt, i.Recycled = binding.ClaimUID, binding.ClaimName, now, time.Time{}, false
			}) {
				b.store.bound++
			}
		})
	}
	for _, release := range plan.Release {
		b.todo = append(b.todo, func() { b.release(&release) })
	}
	b.todo = append(b.todo, b.planReport)
}

func (b *binder) release(release *ClaimRelease) {
	s := b.store
	won := s.writeInstance(b.instance(release.InstanceUID), func(i *ClaimInstance) {
		if i.ClaimUID != release.ClaimUID {
			s.t.Fatalf("instance %s is taken from %s in the name of %s", i.UID, i.ClaimUID, release.ClaimUID)
		}
		switch release.Action {
		case ActionFree:
			i.ClaimUID, i.ClaimName, i.BoundAt, i.RecycleAt, i.Recycled = "", "", time.Time{}, time.Time{}, false
		case ActionRecycle:
			i.RecycleAt = s.now
		default:
			i.Deleting = true
		}
	})
	if won {
		s.released++
	}
}

// planReport tells the holders, and lets deleted claims go.
func (b *binder) planReport() {
	plan := ComputeClaims(b.input())
	for k := range plan.Verdicts {
		verdict := plan.Verdicts[k]
		if verdict.Instance != "" && b.claim(verdict.UID).Told == "" {
			b.todo = append(b.todo, func() {
				b.store.writeClaim(b.claim(verdict.UID), func(c *Claim) { c.Told, c.BoundAt = verdict.Instance, verdict.BoundAt })
			})
		}
	}
	for k := range b.seen.claims {
		claim := &b.seen.claims[k]
		if !claim.Deleting || !claim.Finished || b.holdsSomething(claim.UID) {
			continue
		}
		b.todo = append(b.todo, func() {
			if there, found := b.store.claims[claim.UID]; found && there.version == claim.version {
				delete(b.store.claims, claim.UID)
			}
		})
	}
}

func (b *binder) holdsSomething(uid string) bool {
	return slices.ContainsFunc(b.seen.instances, func(i storedInstance) bool { return i.ClaimUID == uid && i.RecycleAt.IsZero() && !i.Deleting })
}

// scaler is the pool: it reads, decides, and deletes on the version it read.
type scaler struct {
	store *claimStore
	seen  []storedInstance
	todo  []string
}

func (p *scaler) step() {
	if len(p.todo) == 0 {
		p.seen = p.store.readInstances()
		in := wanting(p.store.replicas)
		for k := range p.seen {
			in.Instances = append(in.Instances, SizeInstance{Instance: p.seen[k].Instance, WasReady: true})
		}
		plan := ComputeSize(&in)
		for _, victim := range plan.Delete {
			p.todo = append(p.todo, victim.UID)
		}
		return
	}
	uid := p.todo[0]
	p.todo = p.todo[1:]
	at := slices.IndexFunc(p.seen, func(i storedInstance) bool { return i.UID == uid })
	p.store.writeInstance(&p.seen[at], func(i *ClaimInstance) {
		if i.ClaimUID != "" {
			p.store.t.Fatalf("instance %s is ended by scaling while claim %s holds it (I3)", i.UID, i.ClaimUID)
		}
		i.Deleting = true
	})
}

// TestClaimsAndInstancesInAnyOrder: two processes serve claims, as after a change
// of the leader, a pool scales, users make, extend and delete claims, instances
// become ready, are recycled and get lost. Whatever the order of the reads and
// writes, no instance has two holders, none is taken from a claim that goes on,
// and none is ended by scaling while it is held; and when it becomes quiet,
// nothing is left behind and nobody waits beside a free instance.
func TestClaimsAndInstancesInAnyOrder(t *testing.T) {
	bound, released := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := &claimStore{t: t, now: moment(0), replicas: 2, claims: map[string]*storedClaim{}, instances: map[string]*storedInstance{}}
		leaders, pool := []*binder{{store: s}, {store: s}}, &scaler{store: s}
		pickClaim := func() *storedClaim {
			if len(s.claims) == 0 {
				return nil
			}
			return s.claims[rapid.SampledFrom(sortedKeys(s.claims)).Draw(t, "claim")]
		}
		pickInstance := func() *storedInstance {
			if len(s.instances) == 0 {
				return nil
			}
			return s.instances[rapid.SampledFrom(sortedKeys(s.instances)).Draw(t, "instance")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"a leader goes on":   func(_ *rapid.T) { leaders[0].step() },
			"it goes far":        func(t *rapid.T) { steps(leaders[0], rapid.IntRange(2, 9).Draw(t, "steps")) },
			"the other goes on":  func(_ *rapid.T) { leaders[1].step() },
			"the other goes far": func(t *rapid.T) { steps(leaders[1], rapid.IntRange(2, 9).Draw(t, "steps")) },
			"one crashes":        func(t *rapid.T) { rapid.SampledFrom(leaders).Draw(t, "leader").crash() },
			"the pool goes on":   func(_ *rapid.T) { pool.step() },
			"the pool is scaled": func(t *rapid.T) { s.replicas = rapid.IntRange(0, 3).Draw(t, "replicas") },
			"time passes": func(t *rapid.T) {
				s.now = s.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
			},
			"a claim is made": func(t *rapid.T) {
				claim := Claim{
					UID: s.name("c"), CreatedAt: s.now, TTLSeconds: rapid.Int64Range(1, 60).Draw(t, "ttl"), BindTimeoutSeconds: 120,
					OnRelease: rapid.SampledFrom([]ReleasePolicy{"", ReleaseTerminate, ReleaseRecycle}).Draw(t, "release"),
				}
				claim.Name = claim.UID
				s.claims[claim.UID] = &storedClaim{Claim: claim, version: 1}
			},
			"a claim is extended": func(*rapid.T) {
				if claim := pickClaim(); claim != nil {
					claim.TTLSeconds += 30
					claim.version++
				}
			},
			"a claim is deleted": func(*rapid.T) {
				if claim := pickClaim(); claim != nil && !claim.Deleting {
					claim.Deleting = true
					claim.version++
				}
			},
			"an instance becomes ready": func(*rapid.T) {
				instance := freeInstance(s.name("i"), 0)
				instance.ReadyAt = s.now
				s.instances[instance.UID] = &storedInstance{ClaimInstance: instance, version: 1}
			},
			"an instance is recycled": func(*rapid.T) {
				if instance := pickInstance(); instance != nil && !instance.RecycleAt.IsZero() {
					instance.Recycled = true
					instance.version++
				}
			},
			"an instance is lost": func(*rapid.T) {
				if instance := pickInstance(); instance != nil && !instance.Deleting {
					instance.Deleting = true
					instance.version++
				}
			},
			"an instance goes": func(*rapid.T) {
				if instance := pickInstance(); instance != nil && instance.Deleting {
					delete(s.instances, instance.UID)
				}
			},
		})
		calm(s)
		bound, released = bound+s.bound, released+s.released
	})
	if bound == 0 || released == 0 {
		t.Errorf("%d bindings and %d releases: too little happened to show anything", bound, released)
	}
}

func steps(b *binder, n int) {
	for range n {
		b.step()
	}
}

// calm lets one new process work until nothing changes, and looks at what is left.
func calm(s *claimStore) {
	fresh := &binder{store: s}
	for range 12 {
		for fresh.step(); len(fresh.todo) > 0; {
			fresh.step()
		}
		for _, uid := range sortedKeys(s.instances) {
			if instance := s.instances[uid]; !instance.RecycleAt.IsZero() && !instance.Deleting && !instance.Recycled {
				instance.Recycled = true
				instance.version++
			}
		}
	}
	free := 0
	for _, uid := range sortedKeys(s.instances) {
		instance := s.instances[uid]
		claim := s.claims[instance.ClaimUID]
		switch {
		case instance.Deleting:
		case instance.ClaimUID == "":
			free++
		case claim == nil || claim.Finished || claim.Deleting || claim.Told != instance.Name:
			s.t.Fatalf("instance %s is left with claim %q, which does not hold it", uid, instance.ClaimUID)
		}
	}
	for _, uid := range sortedKeys(s.claims) {
		claim := s.claims[uid]
		switch {
		case claim.Deleting:
			s.t.Fatalf("claim %s was deleted, and is still there", uid)
		case !claim.Finished && claim.Told == "" && free > 0:
			s.t.Fatalf("claim %s waits although %d instances are free", uid, free)
		}
	}
}
