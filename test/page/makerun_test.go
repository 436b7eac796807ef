package page_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
	"github.com/warmpool-dev/warmpool/internal/simulator/adminclient"
	"github.com/warmpool-dev/warmpool/test/demo"
)

// widths are those of a phone and of a desk.
func widths() []int64 { return []int64{390, 1440} }

// demoPage is the page of make run in a browser.
type demoPage struct {
	*browser
	stage *demo.Stage
}

// soon waits for an expression that is about what the operator and the simulator
// do, which takes as long as it takes.
func (p *demoPage) soon(what, expression string) {
	p.t.Helper()
	deadline := time.Now().Add(demo.Patience)
	for !ask[bool](p.browser, expression) {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited for %s\n%s", what, p.body())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// resize gives the window another width.
func (p *demoPage) resize(width int64) {
	p.t.Helper()
	p.run(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600,
		})
		return chromedp.Void{}, err
	})
}

// look takes a picture at both widths, and fails the test for a page that is too wide.
func (p *demoPage) look(name string) {
	p.t.Helper()
	for _, width := range widths() {
		p.resize(width)
		p.until("the new width", fmt.Sprintf("innerWidth === %d", width))
		if wide := ask[int64](p.browser, `document.documentElement.scrollWidth`); wide > width {
			p.t.Errorf("%s: the page is %d px wide in a window of %d px, because of %s", name, wide, width, ask[string](p.browser, tooWide))
		}
		p.picture(fmt.Sprintf("run-%s-%d", name, width))
	}
}

// instances are those of the pool that are not on their way out.
func (p *demoPage) instances() []v1alpha1.WarmInstance {
	p.t.Helper()
	var list, live v1alpha1.WarmInstanceList
	if err := p.stage.Client.List(p.t.Context(), &list, client.InNamespace(p.stage.Namespace)); err != nil {
		p.t.Fatal(err)
	}
	for k := range list.Items {
		if list.Items[k].DeletionTimestamp.IsZero() {
			live.Items = append(live.Items, list.Items[k])
		}
	}
	return live.Items
}

// liveRentals asks the simulator what bills.
func (p *demoPage) liveRentals() int {
	p.t.Helper()
	var rentals []struct {
		EndReason string `json:"endReason"`
	}
	if err := adminclient.New(p.stage.SimulatorURL).Call(p.t.Context(), http.MethodGet, "/rentals", nil, &rentals); err != nil {
		p.t.Fatal(err)
	}
	live := 0
	for _, rental := range rentals {
		if rental.EndReason == "" {
			live++
		}
	}
	return live
}

// eventually waits for something outside of the page.
func (p *demoPage) eventually(what string, isTrue func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(demo.Patience)
	for !isTrue() {
		if time.Now().After(deadline) {
			p.t.Fatalf("waited for %s\n%s", what, p.body())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (p *demoPage) adminKey() string {
	p.t.Helper()
	var secret corev1.Secret
	if err := p.stage.Client.Get(p.t.Context(), client.ObjectKey{Namespace: p.stage.Namespace, Name: "warmpool-credentials"}, &secret); err != nil {
		p.t.Fatal(err)
	}
	return string(secret.Data["ADMIN_API_KEY"])
}

// TestThePageOfMakeRun goes through a life with the programs themselves: nothing
// here writes what the operator, the sidecar or the simulator write.
func TestThePageOfMakeRun(t *testing.T) {
	started := demo.Start(t, "--replicas=0", "--speed=100", "--ceiling=3")
	p := &demoPage{open(t, 1440, "light"), started}

	p.run(chromedp.Navigate(started.URL+page.Path), chromedp.WaitVisible(chromedp.CSS("#key")), chromedp.SendKeys(chromedp.CSS("#key"), "not-the-key\r"))
	p.until("the problem", has("[role=alert]", "This is not the admin key"))
	p.look("wrong-key")
	p.run(chromedp.SendKeys(chromedp.CSS("#key"), p.adminKey()+"\r"), chromedp.WaitVisible(chromedp.CSS("#pool")))
	p.until("an empty pool", has("#instances", "The size of the pool is 0"))
	p.look("empty")
	p.run(chromedp.Navigate(started.URL + page.Path))
	p.until("the pool after a refresh", has("#title", "sdxl"))
	p.soon("live updates", has("#live", "Live"))

	p.prewarm()
	p.claimAndRelease()
	p.terminate()
	p.soon("the audit log to be verified", has("#audit .state", "Intact"))
	p.look("after")
	p.quiet("403 (Forbidden)")
}

func (p *demoPage) prewarm() {
	p.t.Helper()
	p.click("#act-prewarm")
	p.confirm("Prewarm one instance")
	p.until("what was done", has("#notice", "The pool now keeps one instance ready"))
	p.soon("an instance that starts, or is ready already", has("tr.main .state", "Starting")+" || "+has("tr.main .state", "Ready"))
	p.look("starting")
	p.soon("an instance that is ready", has("tr.main .state", "Ready"))
	p.soon("the cost", has("#tile-ready .big", "1"))
	p.look("ready")
	if live := p.liveRentals(); live != 1 {
		p.t.Errorf("%d rentals bill for a pool of one", live)
	}
}

func (p *demoPage) claimAndRelease() {
	p.t.Helper()
	p.resize(390)
	p.run(chromedp.SendKeys(chromedp.CSS("#minutes"), "20"), chromedp.SendKeys(chromedp.CSS("#holder"), "the studio"))
	p.click("#act-claim")
	p.confirm("Claim an instance for 20 min")
	p.soon("the claim with its endpoint", `document.querySelector("#claims a[id^=open-]") !== null`)
	p.look("claimed")
	var claims v1alpha1.WarmClaimList
	if err := p.stage.Client.List(p.t.Context(), &claims, client.InNamespace(p.stage.Namespace)); err != nil || len(claims.Items) != 1 {
		p.t.Fatalf("%d claims, %v", len(claims.Items), err)
	}
	claim := &claims.Items[0]
	if !meta.IsStatusConditionTrue(claim.Status.Conditions, v1alpha1.ConditionReady) || claim.Spec.Holder != "the studio" {
		p.t.Errorf("the claim of %q is %+v", claim.Spec.Holder, claim.Status)
	}
	held := claim.Status.InstanceRef.Name

	p.resize(1440)
	p.click("#release-" + string(claim.UID))
	p.confirm("Release " + claim.Name)
	p.soon("no claim", has("#claims", "No claims."))
	p.eventually("the instance to be taken back", func() bool {
		for _, instance := range p.instances() {
			if instance.Name == held {
				return false
			}
		}
		return true
	})
	p.soon("another instance that is ready", has("tr.main .state", "Ready"))
}

// terminate ends the one instance, in whose place the pool rents another; then the
// pool is made empty.
func (p *demoPage) terminate() {
	p.t.Helper()
	live := p.instances()
	if len(live) != 1 {
		p.t.Fatalf("%d instances in a pool of one", len(live))
	}
	p.click("#end-" + string(live[0].UID))
	p.confirm("End " + live[0].Name)
	p.eventually("the end of the instance", func() bool {
		now := p.instances()
		return len(now) == 0 || now[0].Name != live[0].Name
	})
	p.run(chromedp.SetValue(chromedp.CSS("#replicas"), "0"))
	p.click("#act-resize")
	p.confirm("Set the size from 1 to 0")
	p.eventually("the end of all rentals", func() bool { return len(p.instances()) == 0 && p.liveRentals() == 0 })
	p.soon("a pool of none", has("#tile-ready", "of 0 ready"))
}
