package vastai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warmpool-dev/warmpool/internal/fleet"
	"github.com/warmpool-dev/warmpool/internal/vastai/schema"
)

func TestNoErrorShowsASecret(t *testing.T) {
	const password = "verySecretPassword1"
	bodies := map[string]string{
		"key in msg":           `{"success":false,"error":"auth_error","msg":"Invalid user key ` + testKey + `"}`,
		"key as slug":          `{"success":false,"error":"` + testKey + `"}`,
		"key in plain text":    "bad gateway for Bearer " + testKey,
		"password in msg":      `{"success":false,"error":"invalid_args","msg":"bad env WEB_PASSWORD=` + password + `"}`,
		"password in a phrase": `{"success":false,"error":"invalid_args","msg":"cannot use ` + password + ` here"}`,
		"password in html":     "<html>" + password + "</html>",
		"password in pairs":    `{"success":false,"msg":"[[\"WEB_PASSWORD\",\"` + password + `\"]]"}`,
		"key in a wrong type":  `{"success":{"` + testKey + `":1},"new_contract":"` + testKey + `"}`,
		"key behind a long text": strings.Repeat(" ", maxMessage*2) + strings.Repeat("x", maxMessage-20) + " " + testKey +
			strings.Repeat("y", 100),
	}
	for name, body := range bodies {
		for _, status := range []int{200, 400, 404, 429, 500} {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				_, err := rentOnce(t.Context(), newTestClient(t, always(status, body)))
				checkNoSecret(t, err, password)
			})
		}
	}
	t.Run("transport error", func(t *testing.T) {
		transport := &wire{answer: func(int, *http.Request) (*http.Response, error) {
			return nil, errors.New("proxy http://user:hunter22@proxy refused Authorization: Bearer " + testKey)
		}}
		_, err := rentOnce(t.Context(), newTestClient(t, transport))
		checkNoSecret(t, err, "hunter22")
	})
}

// checkNoSecret looks for secrets, and for parts of them, in every form of an error.
func checkNoSecret(t *testing.T, err error, secret string) {
	t.Helper()
	failure := providerError(t, err)
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", failure), fmt.Sprintf("%#v", failure.Message+failure.Code)} {
		for _, part := range []string{testKey[:12], testKey[40:], secret} {
			if strings.Contains(text, part) {
				t.Errorf("%q shows a secret", text)
			}
		}
	}
}

func TestRedaction(t *testing.T) {
	redactor := newRedactor("short-key")
	for text, want := range map[string]string{
		"plain text stays":                       "plain text stays",
		"the short-key here":                     "the REDACTED here",
		"HF_TOKEN=hf_x other=1":                  "HF_TOKEN=REDACTED other=1",
		`{"jupyter_token":"abc","id":5}`:         `{"jupyter_token":REDACTED,"id":5}`,
		`{\"api_key\": \"abc\"}`:                 `{\"api_key\": REDACTED\"}`,
		`["CIVITAI_TOKEN", "abc"]`:               `["CIVITAI_TOKEN", "REDACTED"]`,
		"http://x:8888/lab?token=abcdef&a=1":     "http://x:8888/lab?token=REDACTED&a=1",
		"https://u:p@host/x":                     "https://REDACTED@host/x",
		"Authorization: Bearer abcdefgh":         "Authorization: Bearer REDACTED",
		"login hf_ABCDEFGHIJKLMNOPQRST ok":       "login REDACTED ok",
		"id " + testKey:                          "id REDACTED",
		"image sha256:" + testKey:                "image sha256:" + testKey,
		"https://s3/x?X-Amz-Signature=abc&b=2":   "https://s3/x?X-Amz-Signature=REDACTED&b=2",
		"password: hunter2":                      "password: REDACTED",
		"4f4fb700ef54: Pull complete, no secret": "4f4fb700ef54: Pull complete, no secret",
	} {
		if got := redactor.text(text, nil); got != want {
			t.Errorf("text(%q)\n got %q\nwant %q", text, got, want)
		}
	}
}

func TestAStatusMessageIsOneSafeLine(t *testing.T) {
	row := schema.Instance{ID: "1", DPHTotal: "1", StatusMsg: schema.Text("Error:\n\tAPI_KEY=abc \x1b[31m" + strings.Repeat("x", 5000))}
	rental, err := rentalFromSchema(&row, newRedactor(testKey))
	if err != nil {
		t.Fatal(err)
	}
	text := rental.StatusMessage
	if !strings.HasPrefix(text, "Error: API_KEY=REDACTED ") || len([]rune(text)) != maxMessage+1 || strings.ContainsAny(text, "\n\t\x1b") {
		t.Errorf("message = %q", text)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	request := schema.RentRequest{Env: schema.EnvObject{"A": "hunter22"}, ImageLogin: "hunter22"}
	row := schema.Instance{JupyterToken: "hunter22", OnStart: "hunter22", ExtraEnv: schema.EnvPairs{{"A", "hunter22"}}}
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v", request, request, request),
		fmt.Sprintf("%v %+v %#v", row, row, row),
	} {
		if strings.Contains(text, "hunter22") {
			t.Errorf("%s shows a secret", text)
		}
	}
	encoded, err := json.Marshal(request)
	if err != nil || !strings.Contains(string(encoded), "hunter22") {
		t.Errorf("the wire must carry it: %s, %v", encoded, err)
	}
}

func TestLogsAreFetchedWithoutTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
			switch n {
			case 1:
				return respond(200, `{"success":true,"result_url":"https://s3.test/log?sig=abc"}`), nil
			case 2:
				return respond(403, "<Error/>"), nil
			case 3:
				return respond(404, ""), nil
			default:
				return respond(200, "\x1b[1;32mready\x1b[0m\r\n 10%\r 99%\r100%\n\x1b]0;title\x07HF_TOKEN=hf_abc\x00\nlast\xff"), nil
			}
		}}
		started := time.Now()
		log, err := newTestClient(t, transport).Logs(t.Context(), 9, 250)
		if err != nil {
			t.Fatal(err)
		}
		if want := "ready\n100%\nHF_TOKEN=REDACTED\nlast�"; log != want {
			t.Errorf("log = %q, want %q", log, want)
		}
		if waited := time.Since(started); waited != 2*logPollInterval {
			t.Errorf("waited %s", waited)
		}
		calls := transport.calls()
		if calls[0].Method != http.MethodPut || calls[0].Path != "/api/v0/instances/request_logs/9/" || calls[0].Body != `{"tail":"250"}` {
			t.Errorf("request = %+v", calls[0])
		}
		for _, call := range calls[1:] {
			if diff := cmp.Diff(http.Header{"User-Agent": {"warmpool"}}, call.Header); diff != "" {
				t.Errorf("header towards the storage server (-want +got):\n%s", diff)
			}
		}
	})
}

func TestLogsGiveUp(t *testing.T) {
	first := `{"success":true,"result_url":"https://s3.test/log?sig=hunter22"}`
	tests := map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		calls  int
	}{
		"never uploaded": {func(*http.Request) (*http.Response, error) { return respond(404, ""), nil }, 1 + logPolls},
		"server error":   {func(*http.Request) (*http.Response, error) { return respond(500, "hunter22"), nil }, 2},
		"redirect":       {func(*http.Request) (*http.Response, error) { return respond(302, ""), nil }, 2},
		"unreachable": {func(r *http.Request) (*http.Response, error) {
			return nil, errors.New("cannot reach " + r.URL.String())
		}, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := &wire{answer: func(n int, request *http.Request) (*http.Response, error) {
					if n == 1 {
						return respond(200, first), nil
					}
					return test.answer(request)
				}}
				_, err := newTestClient(t, transport).Logs(t.Context(), 9, 10)
				if fleet.KindOf(err) != fleet.KindUnavailable {
					t.Errorf("error = %v", err)
				}
				checkNoSecret(t, err, "hunter22")
				if n := len(transport.calls()); n != test.calls {
					t.Errorf("%d calls, want %d", n, test.calls)
				}
			})
		})
	}
}

func TestALongLogIsCut(t *testing.T) {
	transport := sequence(`{"success":true,"result_url":"http://s3.test/log"}`, strings.Repeat("0123456789abcde\n", maxLog/8))
	log, err := newTestClient(t, transport).Logs(t.Context(), 9, 10)
	if err != nil || len(log) != maxLog {
		t.Errorf("%d bytes, %v", len(log), err)
	}
}

// The storage server is another origin; a real server must not see the key either.
func TestARealStorageServerSeesNoKey(t *testing.T) {
	var leaked atomic.Bool
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked.Store(r.Header.Get("Authorization") != "" || strings.Contains(r.URL.String(), testKey))
		fmt.Fprint(w, "line")
	}))
	defer storage.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"success":true,"result_url":%q}`, storage.URL+"/log")
	}))
	defer api.Close()
	log, err := realClient(t, api.URL).Logs(t.Context(), 9, 10)
	if err != nil || log != "line" || leaked.Load() {
		t.Errorf("log %q, error %v, leaked %t", log, err, leaked.Load())
	}
}

func TestGivingUpOnALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &wire{answer: func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return respond(200, `{"success":true,"result_url":"https://s3.test/log"}`), nil
			}
			return respond(404, ""), nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := newTestClient(t, transport).Logs(ctx, 9, 10)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v", err)
		}
	})
}

// FuzzPlainText proves that nothing reaches a terminal but text.
func FuzzPlainText(f *testing.F) {
	f.Add("\x1b[1;32mready\x1b[0m\r\n 10%\r100%\n")
	f.Add("\x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b[")
	f.Add("\x9b31m\xff\x00")
	f.Fuzz(func(t *testing.T, log string) {
		if text := plainText(log); strings.ContainsAny(text, "\x1b\x00\x07\x08\r\u009b") {
			t.Errorf("plainText(%q) = %q", log, text)
		}
	})
}

// A key of somebody else is only found by its shape; a cut through it would
// leave a half that has no shape.
func TestACutDoesNotHalveASecret(t *testing.T) {
	foreign := strings.Repeat("ab12", apiKeyLength/4)
	text := newRedactor(testKey).message("start"+strings.Repeat(" ", maxScanned-30)+foreign, nil)
	if text != "start" {
		t.Errorf("message = %q", text)
	}
}
