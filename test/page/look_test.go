package page_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// signIn opens the page, gives the key, and waits for the pool.
func (b *browser) signIn(s *site) {
	b.t.Helper()
	b.run(
		chromedp.Navigate(s.url),
		chromedp.WaitVisible(chromedp.CSS("#key")),
		chromedp.SendKeys(chromedp.CSS("#key"), adminKey+"\r"),
		chromedp.WaitVisible(chromedp.CSS("#pool")),
	)
}

func TestItFitsEveryWindowInBothSchemes(t *testing.T) {
	s := serve(t, nil)
	s.busy()
	for _, width := range []int64{390, 1440} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(fmt.Sprintf("%d-%s", width, scheme), func(t *testing.T) {
				b := open(t, width, scheme)
				b.run(chromedp.Navigate(s.url), chromedp.WaitVisible(chromedp.CSS("#key")))
				b.picture(fmt.Sprintf("login-%d-%s", width, scheme))
				b.signIn(s)
				b.until("five instances", `document.querySelectorAll("tr.main").length === 5`)
				ask[bool](b, `document.querySelector("details").open = true`)
				if wide := ask[int](b, `document.documentElement.scrollWidth`); int64(wide) > width {
					t.Errorf("the page is %d px wide in a window of %d px", wide, width)
				}
				b.picture(fmt.Sprintf("pool-%d-%s", width, scheme))
				b.run(chromedp.Click(chromedp.CSS("#act-drain")), chromedp.WaitVisible(chromedp.CSS("dialog[open] #confirm")))
				if wide := ask[int](b, `document.querySelector("dialog").scrollWidth - document.querySelector("dialog").clientWidth`); wide > 0 {
					t.Errorf("the dialog is %d px too wide", wide)
				}
				b.picture(fmt.Sprintf("confirm-%d-%s", width, scheme))
				b.quiet()
			})
		}
	}
}
