package page_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/internal/audit"
	"github.com/warmpool-dev/warmpool/internal/legacyapi/page"
	"github.com/warmpool-dev/warmpool/internal/testkit"
)

// status changes the status of the pool, as the operator would.
func (s *site) status(change func(*v1alpha1.WarmPool)) {
	s.t.Helper()
	var p v1alpha1.WarmPool
	s.get("sdxl", &p)
	change(&p)
	if err := s.client.Status().Update(s.t.Context(), &p); err != nil {
		s.t.Fatal(err)
	}
}

// click clicks what a selector of CSS finds, when it is to be seen.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.run(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// confirm waits for the dialog to say a text and presses its button.
func (b *browser) confirm(text string) {
	b.t.Helper()
	b.until("the dialog that says "+text, has("dialog[open] #confirm", text))
	b.click("dialog[open] button[type=submit]")
	b.until("the dialog to close", `!document.querySelector("dialog").open`)
}

func TestAPersonPrewarmsClaimsReleasesAndEnds(t *testing.T) {
	s := serve(t, nil)
	s.create(account())
	s.create(pool(0))
	b := open(t, 1440, "light")
	b.signIn(s)
	b.until("an empty pool", has("#instances", "The size of the pool is 0"))

	b.click("#act-prewarm")
	b.until("the cost of a day", has("dialog[open] .costs", "$14.40"))
	b.confirm("Prewarm one instance")
	b.until("what was done", has("#notice", "The pool now keeps one instance ready"))
	var p v1alpha1.WarmPool
	if s.get("sdxl", &p); *p.Spec.Replicas != 1 {
		t.Fatalf("the size is %d", *p.Spec.Replicas)
	}

	// It becomes ready by and by, and the page shows it without being reloaded.
	ask[bool](b, `window.sameDocument = true`)
	starting := instance("sdxl-x7k2p", "RTX 4090", "Norway, NO", "0.412")
	starting.Status.ReadyTime = nil
	starting.Status.Conditions = []metav1.Condition{condition("Ready", metav1.ConditionFalse, "Provisioning", "Vast.ai loads the image.")}
	s.create(starting)
	s.status(func(p *v1alpha1.WarmPool) { p.Status.ProvisioningReplicas = 1 })
	b.until("an instance that starts", has("tr.main", "Starting"))
	s.get("sdxl-x7k2p", starting)
	ready := instance("sdxl-x7k2p", "RTX 4090", "Norway, NO", "0.412")
	starting.Status = ready.Status
	if err := s.client.Status().Update(t.Context(), starting); err != nil {
		t.Fatal(err)
	}
	s.status(func(p *v1alpha1.WarmPool) {
		p.Status.ProvisioningReplicas, p.Status.ReadyReplicas = 0, 1
		p.Status.Cost.CommittedUSDPerHour = "0.412"
	})
	b.until("an instance that is ready", has("tr.main .state", "Ready"))
	b.until("a word to the screen reader", has("#announce", "1 of 1 ready, 0 claimed, $0.42 an hour committed."))
	if href := ask[string](b, `document.querySelector("tr.main .connect a").href`); href != "https://203.0.113.20:40188/" {
		t.Errorf("ComfyUI is at %s", href)
	}

	b.run(chromedp.SendKeys(chromedp.CSS("#minutes"), "45"), chromedp.SendKeys(chromedp.CSS("#holder"), "the <b>studio</b>"))
	b.click("#act-claim")
	b.confirm("Claim an instance for 45 min")
	b.until("the claim", has("#claims tbody", "the <b>studio</b>"))
	var claims v1alpha1.WarmClaimList
	if err := s.client.List(t.Context(), &claims, client.InNamespace(s.namespace)); err != nil || len(claims.Items) != 1 {
		t.Fatalf("%d claims, %v", len(claims.Items), err)
	}
	b.click("#release-" + string(claims.Items[0].UID))
	b.confirm("Release " + claims.Items[0].Name)
	b.until("no claim", has("#claims", "No claims."))

	b.click("#end-" + string(starting.UID))
	b.confirm("End sdxl-x7k2p")
	b.until("no instance", has("#instances", "No instances."))
	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(starting), starting); !apierrors.IsNotFound(err) {
		t.Errorf("the instance: %v", err)
	}
	b.until("the audit log", has("#audit", "terminate"))
	if !ask[bool](b, `window.sameDocument === true`) {
		t.Error("the page was loaded anew, which loses where one was")
	}
	b.quiet()
}

func TestAWrongKeyAndAnEndedSession(t *testing.T) {
	s := serve(t, nil)
	s.create(pool(0))
	b := open(t, 390, "light")
	b.run(chromedp.Navigate(s.url), chromedp.WaitVisible(chromedp.CSS("#key")), chromedp.SendKeys(chromedp.CSS("#key"), "not-the-key\r"))
	b.until("the problem", has("[role=alert]", "This is not the admin key"))
	b.picture("login-wrong-390-light")
	b.signIn(s)
	b.until("live", has("#live", "Live"))
	if kept := ask[string](b, `JSON.stringify([Object.keys(localStorage), Object.keys(sessionStorage), document.cookie, location.href])`); kept != fmt.Sprintf(`[[],[],"",%q]`, s.url) {
		t.Errorf("the browser keeps %s", kept)
	}
	s.keys.now.Store("another-key-of-the-day")
	b.until("the end of the session", has("#live", "Your session has ended"))
	b.click("#act-prewarm")
	b.until("what to do", has("dialog[open]", "Nothing was done. Sign in"))
	b.quiet("403 (Forbidden)", "401 (Unauthorized)")
}

// hostile shows every text of every object as markup that runs a script.
type hostile struct{ page.Cluster }

func canary(path string) string {
	return `"'></textarea></pre></svg><script>window.canary=1</script><img src=x onerror="window.canary=1"><a href="javascript:window.canary=1">` + path
}

func (h *hostile) Get(_ context.Context, key types.NamespacedName, object client.Object, _ ...client.GetOption) error {
	testkit.FillStrings(object, canary)
	object.SetDeletionTimestamp(nil)
	if p, is := object.(*v1alpha1.WarmPool); is {
		p.Name = key.Name
		for i, kind := range []string{"WithinCeiling", "Stalled"}[:min(2, len(p.Status.Conditions))] {
			p.Status.Conditions[i].Type, p.Status.Conditions[i].Status = kind, metav1.ConditionFalse
		}
	}
	return nil
}

func (h *hostile) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	testkit.FillStrings(list, canary)
	switch of := list.(type) {
	case *v1alpha1.WarmInstanceList:
		of.Items[0].Spec.PoolRef.Name, of.Items[0].DeletionTimestamp = "sdxl", nil
		of.Items[0].Status.Endpoints = append(of.Items[0].Status.Endpoints, v1alpha1.InstanceEndpoint{Name: "comfyui", URL: "javascript:window.canary=1"})
	case *v1alpha1.WarmClaimList:
		of.Items[0].Spec.PoolRef.Name, of.Items[0].DeletionTimestamp = "sdxl", nil
		of.Items[0].Status.FinishedTime = nil
	default:
	}
	list.SetContinue("")
	return nil
}

// tooWide names the elements that reach over the right edge and cannot be scrolled.
const tooWide = `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll, .tall, pre, .hidden"))
  .map((e) => e.tagName + "." + e.className + "#" + e.id + " " + e.textContent.slice(0, 30)).slice(0, 8).join("\n")`

func TestHostileTextsRunNoScript(t *testing.T) {
	for _, width := range []int64{390, 1440} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			s := serve(t, func(c page.Cluster) page.Cluster { return &hostile{c} })
			b := open(t, width, "dark")
			b.signIn(s)
			b.until("the hostile texts", has("#instances", "<script>window.canary=1</script>"))
			before := ask[string](b, `document.getElementById("live").textContent`)
			b.until("a refresh", fmt.Sprintf(`document.getElementById("live").textContent !== %q`, before))
			ask[bool](b, `[...document.querySelectorAll("details")].forEach((d) => { d.open = true }) || true`)
			b.picture(fmt.Sprintf("hostile-%d-dark", width))
			b.click("tr.main .act a")
			b.until("the hostile name", has("dialog[open] h1", "<img src=x"))
			if ask[bool](b, `"canary" in window`) {
				t.Error("a script of a stranger has run")
			}
			if found := ask[int](b, `document.querySelectorAll("img, iframe, main script, dialog script, a[href^='javascript:']").length`); found != 0 {
				t.Errorf("%d elements were made from texts", found)
			}
			if wide := ask[int64](b, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("long texts make the page %d px wide in a window of %d px, because of %s", wide, width, ask[string](b, tooWide))
			}
			b.quiet()
		})
	}
}

func TestAKeyboardIsEnough(t *testing.T) {
	s := serve(t, nil)
	s.busy()
	b := open(t, 1440, "dark")
	b.run(chromedp.Navigate(s.url))
	b.until("the focus on the key", `document.activeElement.id === "key"`)
	b.press(adminKey + kb.Enter)
	b.until("the pool", has("#title", "sdxl"))

	b.press(kb.Tab)
	if first := ask[string](b, `document.activeElement.className`); first != "skip" {
		t.Errorf("the first stop is %q, want the link that skips to the pool", first)
	}
	b.press(kb.Enter)
	b.until("the pool to have the focus", `document.activeElement.id === "pool"`)

	// Details that were opened, the focus and the scroll position outlast a refresh.
	b.tabTo("act-pause")
	if outline := ask[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the focus shows as outline %q", outline)
	}
	ask[bool](b, `(() => { document.querySelector("#instances details").open = true; window.scrollTo(0, 300); return true })()`)
	s.status(func(p *v1alpha1.WarmPool) { p.Status.ReadyReplicas = 2 })
	b.until("the refresh", has("#tile-ready .big", "2"))
	if state := ask[string](b, `[document.activeElement.id, document.querySelector("#instances details").open, window.scrollY].join()`); state != "act-pause,true,300" {
		t.Errorf("after the refresh: %s", state)
	}

	// Escape takes a dialog back, and the focus to where it was.
	b.press(kb.Enter)
	b.until("the dialog", has("dialog[open] h1", "Pause the pool"))
	if inside := ask[bool](b, `document.querySelector("dialog").contains(document.activeElement)`); !inside {
		t.Error("the focus is not in the dialog")
	}
	b.press(kb.Escape)
	b.until("the dialog to close", `!document.querySelector("dialog").open`)
	b.until("the focus to come back", `document.activeElement.id === "act-pause"`)

	b.press(kb.Enter)
	b.until("the button to have the focus", `document.activeElement.matches("dialog[open] button[type=submit]")`)
	b.press(kb.Enter)
	b.until("what was done", has("#notice", "The pool is paused."))
	b.until("the mode", has("#title", "Paused"))
	var p v1alpha1.WarmPool
	if s.get("sdxl", &p); p.Spec.Mode != v1alpha1.PoolPaused {
		t.Errorf("mode %s", p.Spec.Mode)
	}

	// A size is typed, and Enter asks.
	b.tabTo("replicas")
	b.run(chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	b.press("5" + kb.Enter)
	b.until("the dialog", has("dialog[open] h1", "Set the size from 3 to 5"))
	b.until("the cost", has("dialog[open] .costs", "At most after"))
	// An act that ends something has the focus on Cancel.
	b.press(kb.Escape)
	b.tabTo("act-drain")
	b.press(kb.Enter)
	b.until("the focus on Cancel", `document.activeElement.matches("dialog[open] [data-cancel]")`)
	b.press(kb.Enter)
	b.until("the dialog to close", `!document.querySelector("dialog").open`)
	b.quiet()
}

func TestItWorksWithoutItsScript(t *testing.T) {
	s := serve(t, nil)
	s.create(pool(0))
	b := open(t, 390, "light")
	b.withoutScripts()
	b.signIn(s)
	b.click("#act-prewarm")
	b.run(chromedp.WaitVisible(chromedp.CSS("#confirm")))
	b.picture("confirm-page-390-light")
	b.click("#confirm button[type=submit]")
	b.run(chromedp.WaitVisible(chromedp.CSS("#notice .done")))
	var p v1alpha1.WarmPool
	if s.get("sdxl", &p); *p.Spec.Replicas != 1 {
		t.Errorf("the size is %d", *p.Spec.Replicas)
	}
}

// silent loses the answers of the API server.
type silent struct {
	page.Cluster
	err error
}

func (c *silent) Patch(context.Context, client.Object, client.Patch, ...client.PatchOption) error {
	return c.err
}

func TestWhatFailsIsSaidInTheDialog(t *testing.T) {
	s := serve(t, func(c page.Cluster) page.Cluster { return &silent{c, errors.New("no answer")} })
	s.create(pool(0))
	b := open(t, 390, "dark")
	b.signIn(s)
	b.click("#act-prewarm")
	b.until("the dialog", has("dialog[open] h1", "Prewarm"))
	b.click("dialog[open] button[type=submit]")
	b.until("what failed", has("dialog[open] [role=alert]", "It may have been done or not"))
	b.picture("confirm-failed-390-dark")
	b.quiet(fmt.Sprint(http.StatusConflict))
}

func TestALostConnectionIsSaidAndMended(t *testing.T) {
	s := serve(t, nil)
	s.create(pool(0))
	b := open(t, 1440, "light")
	b.signIn(s)
	s.away.Store(true)
	b.until("the loss", has("#live", "Connection lost"))
	s.away.Store(false)
	b.until("the connection to be back", has("#live", "Live ·"))
	b.quiet("503", "Failed to load")
}

// aText is a text and both colours that it is shown in.
type aText struct {
	Text       string
	Ratio      float64
	Foreground string
	Background string
}

// contrasts measures every text against the ground that it stands on, by WCAG 2.2.
const contrasts = `(() => {
  const channels = (c) => c.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) { return c; }
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.nodeValue.trim() || !e.checkVisibility() || e.closest("script, .hidden")) { continue; }
    const style = getComputedStyle(e);
    const a = light(channels(style.color)), b = light(ground(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) { found.push({ Text: walker.currentNode.nodeValue.trim().slice(0, 40), Ratio: ratio, Foreground: style.color, Background: String(ground(e)) }); }
  }
  return found;
})()`

func TestEveryTextHasTheContrastOfWCAG(t *testing.T) {
	s := serve(t, nil)
	s.busy()
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			b := open(t, 1440, scheme)
			b.signIn(s)
			ask[bool](b, `[...document.querySelectorAll("details")].forEach((d) => { d.open = true }) || true`)
			b.picture("open-1440-" + scheme)
			for _, selector := range []string{"", "#act-prewarm", "#act-drain"} {
				if selector != "" {
					b.click(selector)
					b.run(chromedp.WaitVisible(chromedp.CSS("dialog[open] h1")))
				}
				for _, low := range ask[[]aText](b, contrasts) {
					t.Errorf("%q has a contrast of %.2f: %s on %s", low.Text, low.Ratio, low.Foreground, low.Background)
				}
				if selector != "" {
					b.press(kb.Escape)
				}
			}
		})
	}
}

// nameless finds controls that have no name for those who do not see them.
const nameless = `[...document.querySelectorAll("a, button, input:not([type=hidden]), summary, [tabindex='0']")].filter((e) =>
  !(e.textContent.trim() || e.getAttribute("aria-label") || (e.labels && e.labels.length))).map((e) => e.outerHTML.slice(0, 120))`

func TestEveryControlHasANameAndEveryIDIsOne(t *testing.T) {
	s := serve(t, nil)
	s.busy()
	b := open(t, 1440, "light")
	b.signIn(s)
	for _, control := range ask[[]string](b, nameless) {
		t.Errorf("this control has no name: %s", control)
	}
	for _, id := range ask[[]string](b, `(() => { const ids = [...document.querySelectorAll("[id]")].map((e) => e.id); return ids.filter((id, i) => ids.indexOf(id) !== i) })()`) {
		t.Errorf("two elements have the id %q", id)
	}
	if marks := ask[string](b, `["main", "header.top", "h1"].map((s) => document.querySelectorAll(s).length).join() + document.documentElement.lang`); marks != "1,1,1en" {
		t.Errorf("landmarks and language: %s", marks)
	}
}

func TestAuditedActsAreVerified(t *testing.T) {
	s := serve(t, nil)
	s.create(pool(0))
	b := open(t, 1440, "light")
	b.signIn(s)
	b.click("#act-prewarm")
	b.confirm("Prewarm")
	b.until("both records", has("#audit tbody", "started")+" && "+has("#audit tbody", "ok"))
	report, err := audit.Verify(t.Context(), audit.VerifyOptions{Dir: s.directory, Component: "sidecar", Salts: []string{salt}})
	if err != nil || report.Broken != nil {
		t.Errorf("the log: %+v, %v", report.Broken, err)
	}
	b.until("the state of the log", has("#audit .state", "Intact"))
}
