package page_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long the browser may take for one step, on a busy machine.
const patience = time.Minute

// browser is one tab of a Chromium of its own.
type browser struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // a tab of chromedp is its context

	mu sync.Mutex
	// complaints are what the console said at the level of an error: exceptions of
	// scripts, and what the content security policy has blocked.
	complaints []string
}

// findChromium fails the test when there is none: a test that is left out is not
// a test that passes.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("There is no Chromium. Install it with apt-get install chromium, or name one in CHROMIUM.")
	return ""
}

// open starts a browser with a window of a width, in a colour scheme: "light" or "dark".
func open(t *testing.T, width int64, scheme string) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findChromium(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("no-first-run", true), chromedp.Flag("disable-dev-shm-usage", true),
	)
	allocated, cancelAllocator := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log("closing the browser:", err)
		}
		cancel()
		cancelAllocator()
	})
	b := &browser{t: t, ctx: ctx}
	// The first step starts the browser, which lives as long as its context.
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatalf("starting %s: %v", findChromium(t), err)
	}
	b.run(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		if _, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{}); err != nil {
			return chromedp.Void{}, err
		}
		if _, err := chromedp.Call(ctx, runtime.Enable, cdp.Empty{}); err != nil {
			return chromedp.Void{}, err
		}
		if _, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600,
		}); err != nil {
			return chromedp.Void{}, err
		}
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return chromedp.Void{}, err
	})
	return b
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch said := event.(type) {
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+said.ExceptionDetails.Text)
	case *cdplog.EventEntryAdded:
		if said.Entry.Level == cdplog.EntryLevelError {
			b.complaints = append(b.complaints, said.Entry.Text+" "+said.Entry.URL)
		}
	}
}

// quiet fails the test for what the console has complained about, but for texts
// that were expected.
func (b *browser) quiet(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, complaint := range b.complaints {
		for _, text := range expected {
			if strings.Contains(complaint, text) {
				continue next
			}
		}
		b.t.Errorf("the console says: %s", complaint)
	}
}

// run does steps, each within patience.
func (b *browser) run(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for i, step := range steps {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		err := chromedp.Do(ctx, step)
		cancel()
		if err != nil {
			b.t.Fatalf("step %d of the browser: %v\n%s", i+1, err, b.body())
		}
	}
}

// body is the text of the page, for failures.
func (b *browser) body() string {
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText.slice(0, 2000) : ""`))
	if err != nil {
		return err.Error()
	}
	return text
}

// ask evaluates an expression of JavaScript.
func ask[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("asking the browser %s: %v\n%s", expression, err, b.body())
	}
	return value
}

// withoutScripts turns scripts off.
func (b *browser) withoutScripts() {
	b.t.Helper()
	b.run(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
}

// until waits for an expression to be true.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for !ask[bool](b, expression) {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited for %s\n%s", what, b.body())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// press sends keys to whatever has the focus.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(keys))
}

// tabTo moves the focus with the Tab key, like somebody without a mouse.
func (b *browser) tabTo(id string) {
	b.t.Helper()
	for range 200 {
		if ask[string](b, `document.activeElement ? document.activeElement.id : ""`) == id {
			return
		}
		b.press("\t")
	}
	b.t.Fatalf("the Tab key does not lead to #%s\n%s", id, b.body())
}

// picture keeps a screenshot of the whole page when PICTURES names a directory.
func (b *browser) picture(name string) {
	b.t.Helper()
	directory := os.Getenv("PICTURES")
	if directory == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	const lossless = 100
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(lossless))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, name+".png"), picture, 0o600); err != nil {
		b.t.Error(err)
	}
}

// has is an expression: an element that a selector finds holds a text.
func has(selector, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%q)].some((e) => e.textContent.includes(%q))`, selector, text)
}
