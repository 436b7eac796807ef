package plugin

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
)

// statusReport is the tree of accounts, pools, instances and claims.
type statusReport struct {
	Accounts []accountNode `json:"accounts"`
}

// accountNode is an account with its pools. Money is in dollars.
type accountNode struct {
	Namespace           string     `json:"namespace"`
	Name                string     `json:"name"`
	Found               bool       `json:"found"`
	Mode                string     `json:"mode,omitempty"`
	Ready               string     `json:"ready"`
	Reason              string     `json:"reason"`
	Message             string     `json:"message"`
	CommittedUSDPerHour string     `json:"committedUSDPerHour,omitempty"`
	CeilingUSDPerHour   string     `json:"ceilingUSDPerHour,omitempty"`
	BalanceUSD          string     `json:"balanceUSD,omitempty"`
	SpentTodayUSD       string     `json:"spentTodayUSD,omitempty"`
	SpentMonthUSD       string     `json:"spentMonthUSD,omitempty"`
	Foreign             int32      `json:"foreignInstances"`
	Leaks               int        `json:"suspectedLeaks"`
	Pools               []poolNode `json:"pools"`
}

// poolNode is a pool with what belongs to it.
type poolNode struct {
	Name                string        `json:"name"`
	Mode                string        `json:"mode"`
	Replicas            int32         `json:"replicas"`
	ReadyReplicas       int32         `json:"readyReplicas"`
	ClaimedReplicas     int32         `json:"claimedReplicas"`
	Reason              string        `json:"reason"`
	Message             string        `json:"message"`
	CommittedUSDPerHour string        `json:"committedUSDPerHour"`
	CeilingUSDPerHour   string        `json:"ceilingUSDPerHour"`
	SpentTodayUSD       string        `json:"spentTodayUSD,omitempty"`
	SpentMonthUSD       string        `json:"spentMonthUSD,omitempty"`
	Instances           []instanceRow `json:"instances"`
	Claims              []claimNode   `json:"claims"`
}

// claimNode is a claim that has not ended.
type claimNode struct {
	Name     string `json:"name"`
	Holder   string `json:"holder,omitempty"`
	Instance string `json:"instance,omitempty"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	Position int32  `json:"queuePosition,omitempty"`
	Expires  string `json:"expires,omitempty"`
}

func newStatus(o *options) *cobra.Command {
	var everywhere bool
	command := &cobra.Command{
		Use:   "status [POOL]",
		Short: "Show accounts, pools, instances and claims as a tree, with what they cost",
		Example: "  kubectl warmpool status\n" +
			"  kubectl warmpool status sdxl -o wide",
		Args:              arguments(0, 1, "at most one pool"),
		ValidArgsFunction: o.completeFirst(kindPool),
		RunE: func(command *cobra.Command, given []string) error {
			cluster, err := o.connect()
			if err != nil {
				return err
			}
			seen, err := cluster.look(command.Context(), o.env.Clock.Now(), everywhere)
			if err != nil {
				return err
			}
			if len(given) > 0 {
				if seen, err = seen.only(cluster, given[0]); err != nil {
					return err
				}
			}
			if len(seen.accounts)+len(seen.pools) == 0 {
				o.say("There is no pool and no account in namespace %q: -A looks into all namespaces.", cluster.Namespace)
			}
			return o.print(computeStatus(seen))
		},
	}
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "look into all namespaces")
	o.addOutput(command, true)
	return command
}

// only is the part of the world that concerns one pool.
func (w *world) only(cluster *Cluster, name string) (*world, error) {
	for k := range w.pools {
		pool := &w.pools[k]
		if pool.Name != name {
			continue
		}
		part := &world{pools: []warmpool.WarmPool{*pool}, instances: w.instances, claims: w.claims, now: w.now}
		if account := w.account(pool.Namespace, pool.Spec.AccountRef.Name); account != nil {
			part.accounts = []warmpool.VastAccount{*account}
		}
		return part, nil
	}
	return nil, noSuch(kindPool, name, cluster.Namespace)
}

// noSuch is the error for a name that nothing has.
func noSuch(kind, name, namespace string) error {
	return fmt.Errorf("there is no %s %q in namespace %q: kubectl get %s -A shows those there are, and -n <namespace> chooses another namespace", kind, name, namespace, resourceOf(kind))
}

// computeStatus builds the tree. Pools whose account is missing stand below a node
// that says so.
func computeStatus(w *world) *statusReport {
	answer := &statusReport{Accounts: []accountNode{}}
	at := map[string]int{}
	for k := range w.accounts {
		account := &w.accounts[k]
		at[account.Namespace+"/"+account.Name] = len(answer.Accounts)
		answer.Accounts = append(answer.Accounts, nodeOfAccount(account))
	}
	for k := range w.pools {
		pool := &w.pools[k]
		key := pool.Namespace + "/" + pool.Spec.AccountRef.Name
		index, found := at[key]
		if !found {
			index = len(answer.Accounts)
			at[key] = index
			answer.Accounts = append(answer.Accounts, accountNode{
				Namespace: pool.Namespace, Name: pool.Spec.AccountRef.Name, Ready: "False", Reason: "AccountNotFound",
				Message: fmt.Sprintf("There is no VastAccount %q in namespace %q, so nothing is rented for its pools.", pool.Spec.AccountRef.Name, pool.Namespace), Pools: []poolNode{},
			})
		}
		answer.Accounts[index].Pools = append(answer.Accounts[index].Pools, w.nodeOfPool(pool))
	}
	return answer
}

func nodeOfAccount(account *warmpool.VastAccount) accountNode {
	ready := conditionOf(account.Status.Conditions, warmpool.ConditionReady)
	return accountNode{
		Namespace: account.Namespace, Name: account.Name, Found: true, Mode: string(account.Spec.Mode),
		Ready: string(ready.Status), Reason: ready.Reason, Message: ready.Message,
		CommittedUSDPerHour: string(account.Status.CommittedUSDPerHour), CeilingUSDPerHour: string(account.Spec.CeilingUSDPerHour),
		BalanceUSD: string(account.Status.BalanceUSD), SpentTodayUSD: string(account.Status.SpentTodayUSD), SpentMonthUSD: string(account.Status.SpentMonthUSD),
		Foreign: account.Status.Instances.Foreign, Leaks: len(account.Status.SuspectedLeaks), Pools: []poolNode{},
	}
}

func (w *world) nodeOfPool(pool *warmpool.WarmPool) poolNode {
	full := conditionOf(pool.Status.Conditions, warmpool.ConditionFullyProvisioned)
	node := poolNode{
		Name: pool.Name, Mode: string(pool.Spec.Mode), Replicas: replicasOf(pool),
		ReadyReplicas: pool.Status.ReadyReplicas, ClaimedReplicas: pool.Status.ClaimedReplicas,
		Reason: full.Reason, Message: full.Message, CeilingUSDPerHour: string(pool.Spec.Cost.CeilingUSDPerHour),
		SpentTodayUSD: string(pool.Status.Cost.SpentTodayUSD), SpentMonthUSD: string(pool.Status.Cost.SpentMonthUSD),
		Instances: []instanceRow{}, Claims: []claimNode{},
	}
	committed := dollars("")
	for _, instance := range w.ofPool(pool) {
		committed += controllers.InstanceCost(instance)
		node.Instances = append(node.Instances, w.rowOf(instance))
	}
	node.CommittedUSDPerHour = committed.String()
	for _, claim := range w.claimsOf(pool) {
		node.Claims = append(node.Claims, nodeOfClaim(claim))
	}
	return node
}

func nodeOfClaim(claim *warmpool.WarmClaim) claimNode {
	bound := conditionOf(claim.Status.Conditions, warmpool.ConditionBound)
	node := claimNode{
		Name: claim.Name, Holder: claim.Spec.Holder, Reason: bound.Reason, Message: bound.Message,
		Position: claim.Status.QueuePosition,
	}
	if claim.Status.InstanceRef != nil {
		node.Instance = claim.Status.InstanceRef.Name
	}
	if claim.Status.ExpirationTime != nil {
		node.Expires = moment(claim.Status.ExpirationTime)
	}
	return node
}

// write implements report.
func (r *statusReport) write(out io.Writer, wide bool) error {
	tree := newTable("NAME", "READY", "$/H", "CEILING", "REASON", "DETAIL")
	for k := range r.Accounts {
		r.Accounts[k].addTo(tree, wide)
	}
	if len(tree.rows) == 0 {
		return nil
	}
	var text strings.Builder
	text.WriteString(tree.text(""))
	for k := range r.Accounts {
		account := &r.Accounts[k]
		if account.Ready != "True" {
			fmt.Fprintf(&text, "\n%s/%s: %s\n", kindAccount, account.Name, plainLines(account.Message))
		}
		for n := range account.Pools {
			if pool := &account.Pools[n]; pool.ReadyReplicas < pool.Replicas {
				fmt.Fprintf(&text, "\n%s/%s: %s\n", kindPool, pool.Name, plainLines(pool.Message))
			}
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func (a *accountNode) addTo(tree *table, wide bool) {
	details := []string{"balance " + amountOf(a.BalanceUSD), amountOf(a.SpentTodayUSD) + " today", amountOf(a.SpentMonthUSD) + " this month"}
	if a.Foreign > 0 {
		details = append(details, plural(int(a.Foreign), "foreign instance", "foreign instances"))
	}
	if a.Leaks > 0 {
		details = append(details, plural(a.Leaks, "suspected leak", "suspected leaks"))
	}
	if a.Mode != "" && a.Mode != string(warmpool.AccountActive) {
		details = append(details, "mode "+a.Mode)
	}
	if !a.Found {
		details = []string{"it does not exist"}
	}
	tree.add(kindAccount+"/"+a.Name, a.Ready, a.CommittedUSDPerHour, a.CeilingUSDPerHour, a.Reason, strings.Join(details, ", "))
	for k := range a.Pools {
		a.Pools[k].addTo(tree, branches(k, len(a.Pools)), wide)
	}
}

// branch is what stands before a node, and before what is below it.
type branch struct{ own, below string }

func branches(k, n int) branch {
	if k == n-1 {
		return branch{own: "└─ ", below: "   "}
	}
	return branch{own: "├─ ", below: "│  "}
}

func (p *poolNode) addTo(tree *table, at branch, wide bool) {
	details := []string{amountOf(p.SpentTodayUSD) + " today", amountOf(p.SpentMonthUSD) + " this month"}
	if p.ClaimedReplicas > 0 {
		details = append(details, fmt.Sprintf("%d claimed", p.ClaimedReplicas))
	}
	if p.Mode != "" && p.Mode != string(warmpool.PoolActive) {
		details = append(details, "mode "+p.Mode)
	}
	tree.add(at.own+kindPool+"/"+p.Name, fmt.Sprintf("%d/%d", p.ReadyReplicas, p.Replicas), p.CommittedUSDPerHour, p.CeilingUSDPerHour, p.Reason, strings.Join(details, ", "))
	n := len(p.Instances) + len(p.Claims)
	for k := range p.Instances {
		instance := &p.Instances[k]
		tree.add(at.below+branches(k, n).own+kindInstance+"/"+instance.Name, instance.Ready, instance.CommittedUSDPerHour, "-", instance.Reason, instance.detail(wide))
	}
	for k := range p.Claims {
		claim := &p.Claims[k]
		tree.add(at.below+branches(k+len(p.Instances), n).own+kindClaim+"/"+claim.Name, "-", "-", "-", claim.Reason, claim.detail())
	}
}

func (c *claimNode) detail() string {
	var details []string
	switch {
	case c.Instance != "":
		details = append(details, "holds "+c.Instance)
	case c.Position > 0:
		details = append(details, fmt.Sprintf("waits, number %d", c.Position))
	}
	if c.Expires != "" {
		details = append(details, "until "+c.Expires)
	}
	if c.Holder != "" {
		details = append(details, "for "+c.Holder)
	}
	return strings.Join(details, ", ")
}
