package schema

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// decode unmarshals or fails the test.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("decoding %s: %v", text, err)
	}
	return value
}

// encode marshals or fails the test.
func encode(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNumberKeepsEveryDigit(t *testing.T) {
	for wire, want := range map[string]struct {
		number Number
		again  string
	}{
		`0.34830000000000005`:   {"0.34830000000000005", `0.34830000000000005`},
		`1e-07`:                 {"1e-07", `1e-07`},
		`-1`:                    {"-1", `-1`},
		`0.0`:                   {"0.0", `0.0`},
		`null`:                  {"", `null`},
		`""`:                    {"", `null`},
		`" 7 "`:                 {"7", `7`},
		`"0.5"`:                 {"0.5", `0.5`},
		`true`:                  {"1", `1`},
		`false`:                 {"0", `0`},
		`"Unlimited"`:           {"Unlimited", `"Unlimited"`},
		`[1]`:                   {"[1]", `"[1]"`},
		`18446744073709551615`:  {"18446744073709551615", `18446744073709551615`},
		`"007"`:                 {"007", `"007"`},
		`"NaN"`:                 {"NaN", `"NaN"`},
		`123456789.12345678901`: {"123456789.12345678901", `123456789.12345678901`},
	} {
		if got := decode[Number](t, wire); got != want.number {
			t.Errorf("%s decodes as %q, want %q", wire, got, want.number)
		}
		if got := encode(t, want.number); got != want.again {
			t.Errorf("%q encodes as %s, want %s", want.number, got, want.again)
		}
	}
}

func TestNumberConversions(t *testing.T) {
	type result struct {
		Value int64
		OK    bool
	}
	for name, test := range map[string]struct {
		number   Number
		decimals int
		want     result
	}{
		"whole":             {"205", 0, result{205, true}},
		"float by value":    {"205.0", 0, result{205, true}},
		"cut off":           {"205.999", 0, result{205, true}},
		"negative cut off":  {"-1.9", 0, result{-1, true}},
		"scaled":            {"12.8", 2, result{1280, true}},
		"scientific":        {"1.5E3", 0, result{1500, true}},
		"small":             {"1e-7", 6, result{0, true}},
		"exponent plus":     {"1e+2", 0, result{100, true}},
		"largest":           {"9223372036854775807", 0, result{math.MaxInt64, true}},
		"smallest":          {"-9223372036854775808", 0, result{math.MinInt64, true}},
		"too large":         {"9223372036854775808", 0, result{0, false}},
		"far too large":     {"1e300", 0, result{0, false}},
		"absurd exponent":   {"1e999999999", 0, result{0, false}},
		"zero, exponent":    {"0e300", 0, result{0, true}},
		"empty":             {"", 0, result{0, false}},
		"word":              {"many", 0, result{0, false}},
		"hexadecimal":       {"0x10", 0, result{0, false}},
		"two points":        {"1.2.3", 0, result{0, false}},
		"only a sign":       {"-", 0, result{0, false}},
		"infinity":          {"Infinity", 0, result{0, false}},
		"object":            {"{}", 0, result{0, false}},
		"very long":         {Number(strings.Repeat("1", maxNumberLength+1)), 0, result{0, false}},
		"underscore":        {"1_000", 0, result{0, false}},
		"epoch with micros": {"1795390000.5", 6, result{1_795_390_000_500_000, true}},
	} {
		t.Run(name, func(t *testing.T) {
			value, ok := test.number.Scaled(test.decimals)
			if diff := cmp.Diff(test.want, result{value, ok}); diff != "" {
				t.Errorf("Scaled (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNumbersOfIntegers(t *testing.T) {
	for want, got := range map[Number]Number{
		"7": Int(7), "1.5": Micros(1_500_000), "0.348301": Micros(348_301), "0": Micros(0), "-0.000001": Micros(-1),
		"12.8": Fixed(1280, 2), "1795390000.5": Fixed(1_795_390_000_500, 3), "100": Fixed(100, 0), "-12.5": Fixed(-1250, 2),
		"-9223372036854775808": Fixed(math.MinInt64, 0),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNumberProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Int64().Draw(t, "value")
		decimals := rapid.IntRange(0, 18).Draw(t, "decimals")
		number := Fixed(value, decimals)
		if back, ok := number.Scaled(decimals); !ok || back != value {
			t.Fatalf("Fixed(%d, %d) = %q reads back as %d, %t", value, decimals, number, back, ok)
		}
		exponent := rapid.IntRange(-20, 20).Draw(t, "exponent")
		if back := number.Shift(exponent).Shift(-exponent); compare(t, back, number) != 0 {
			t.Fatalf("%q shifted by %d and back is %q", number, exponent, back)
		}
		other := Fixed(rapid.Int64().Draw(t, "other"), rapid.IntRange(0, 18).Draw(t, "other decimals"))
		left, _ := new(big.Rat).SetString(string(number))
		right, _ := new(big.Rat).SetString(string(other))
		if got := compare(t, number, other); got != left.Cmp(right) {
			t.Fatalf("Compare(%q, %q) = %d", number, other, got)
		}
	})
}

func compare(t *rapid.T, a, b Number) int {
	order, ok := a.Compare(b)
	if !ok {
		t.Fatalf("Compare(%q, %q) is not possible", a, b)
	}
	return order
}

func TestCompareRefusesWords(t *testing.T) {
	if _, ok := Number("a").Compare("1"); ok {
		t.Error("a word was compared")
	}
}

func TestScalars(t *testing.T) {
	for wire, want := range map[string]Text{
		`"x"`: "x", `null`: "", `22.04`: "22.04", `true`: "true", `{"a":1}`: `{"a":1}`, `"é"`: "é",
	} {
		if got := decode[Text](t, wire); got != want {
			t.Errorf("%s decodes as %q", wire, got)
		}
	}
	for wire, want := range map[string]Flag{
		`true`: true, `false`: false, `1`: true, `0`: false, `"True"`: true, `null`: false, `"yes"`: false, `{}`: false, `1.0`: true,
	} {
		if got := decode[Flag](t, wire); got != want {
			t.Errorf("%s decodes as %t", wire, got)
		}
	}
	if got := encode(t, struct {
		A, B Text
		C    Secret
		D    Secret
	}{"x", "", "s", ""}); got != `{"A":"x","B":null,"C":"s","D":null}` {
		t.Errorf("encoded as %s", got)
	}
}

func TestPorts(t *testing.T) {
	for name, test := range map[string]struct {
		wire string
		want map[int]int
	}{
		"object":           {`{"8188/tcp":[{"HostIp":"0.0.0.0","HostPort":"40123"},{"HostIp":"::","HostPort":"40124"}]}`, map[int]int{8188: 40123}},
		"IPv6 only":        {`{"8188/tcp":[{"HostIp":"::","HostPort":"40124"}]}`, map[int]int{8188: 40124}},
		"number as port":   {`{"22/tcp":[{"HostIp":"0.0.0.0","HostPort":40022}]}`, map[int]int{22: 40022}},
		"identity mapped":  {`{"70001/tcp":[{"HostIp":"0.0.0.0","HostPort":"70001"}]}`, map[int]int{70001: 70001}},
		"udp":              {`{"53/udp":[{"HostIp":"0.0.0.0","HostPort":"40053"}]}`, nil},
		"no protocol":      {`{"80":[{"HostIp":"0.0.0.0","HostPort":"40080"}]}`, map[int]int{80: 40080}},
		"null binding":     {`{"80/tcp":null}`, nil},
		"empty binding":    {`{"80/tcp":[]}`, nil},
		"port zero":        {`{"80/tcp":[{"HostPort":"0"}]}`, nil},
		"port is a word":   {`{"80/tcp":[{"HostPort":"x"}]}`, nil},
		"one of two reads": {`{"80/tcp":[{"HostPort":"x"},{"HostPort":"7"}],"81/tcp":"x"}`, map[int]int{80: 7}},
		"list":             {`[8080,8081]`, nil},
		"null":             {`null`, nil},
		"text":             {`"none"`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, decode[Ports](t, test.wire).TCP()); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
		})
	}
	if got := encode(t, Ports{"80/tcp": NewPortBindings(40080)}); got != `{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"40080"},{"HostIp":"::","HostPort":"40080"}]}` {
		t.Errorf("encoded as %s", got)
	}
	if got := encode(t, Instance{}); strings.Contains(got, `"ports"`) || !strings.Contains(got, `"extra_env":[]`) {
		t.Errorf("an instance without ports encodes as %s", got)
	}
}

func TestEnvironments(t *testing.T) {
	want := EnvPairs{{"A", "b"}, {"N", "1"}}
	for name, wire := range map[string]string{
		"pairs": `[["A","b"],["N",1],["lonely"],[]]`, "object": `{"N":1,"A":"b"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff([][2]string(want), [][2]string(decode[EnvPairs](t, wire))); diff != "" {
				t.Errorf("pairs (-want +got):\n%s", diff)
			}
			object := decode[EnvObject](t, wire)
			if diff := cmp.Diff(map[string]string{"A": "b", "N": "1"}, map[string]string(object)); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
			if got := encode(t, object.Pairs()); got != `[["A","b"],["N","1"]]` {
				t.Errorf("encoded as %s", got)
			}
		})
	}
	for _, wire := range []string{`null`, `"-e A=b"`, `7`, `[]`, `{}`} {
		if got := decode[EnvPairs](t, wire); len(got) != 0 {
			t.Errorf("%s gives %d pairs", wire, len(got))
		}
	}
}

func TestInstanceSetTellsAbsentFromNull(t *testing.T) {
	type shape struct {
		Null, List bool
		Rows       int
	}
	for wire, want := range map[string]shape{
		`{}`:                             {},
		`{"instances":null}`:             {Null: true},
		`{"instances":{"id":1}}`:         {Rows: 1},
		`{"instances":[]}`:               {List: true},
		`{"instances":[{"id":1},{}]}`:    {List: true, Rows: 2},
		`{"success":true,"msg":"other"}`: {},
	} {
		set := decode[InstanceResponse](t, wire).Instances
		if diff := cmp.Diff(want, shape{set.Null, set.List, len(set.Rows)}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", wire, diff)
		}
	}
	var response InstanceResponse
	if err := json.Unmarshal([]byte(`{"instances":"none"}`), &response); err == nil {
		t.Error("a text was read as instances")
	}
	if got := encode(t, InstanceResponse{Instances: OneInstance(nil)}); got != `{"instances":null}` {
		t.Errorf("none encodes as %s", got)
	}
	again := decode[InstanceResponse](t, encode(t, InstanceResponse{Instances: OneInstance(&Instance{ID: "5"})}))
	if len(again.Instances.Rows) != 1 || again.Instances.Rows[0].ID != "5" || again.Instances.List {
		t.Errorf("one instance became %+v", again.Instances)
	}
	if got := encode(t, InstanceSet{List: true}); got != `[]` {
		t.Errorf("an empty list encodes as %s", got)
	}
}

func TestInstanceListEnvelope(t *testing.T) {
	list := InstanceList{
		Answer: OK(), InstancesFound: "0", TotalInstances: "0", LabelCounts: LabelCounts{"": 2}, Instances: []Instance{},
	}
	want := `{"success":true,"instances_found":0,"total_instances":0,"label_counts":{"":2},"next_token":null,"instances":[]}`
	if got := encode(t, list); got != want {
		t.Errorf("encoded as %s", got)
	}
	odd := decode[InstanceList](t, `{"label_counts":{"a":"3","b":[]},"total_instances":"7","next_token":5}`)
	if odd.LabelCounts["a"] != 3 || len(odd.LabelCounts) != 1 || odd.TotalInstances != "7" || odd.NextToken != "5" || odd.Instances != nil {
		t.Errorf("decoded as %+v", odd)
	}
	if got := decode[InstanceList](t, `{"label_counts":[1]}`); got.LabelCounts != nil {
		t.Errorf("counts = %v", got.LabelCounts)
	}
}

func TestSearchRequestIsFlat(t *testing.T) {
	wire := `{"verified":{"eq":true},"num_gpus":{"eq":"1"},"dph_total":{"lt":"0.5"},"external":null,` +
		`"order":[["score","desc"]],"type":"on-demand","limit":2,"allocated_storage":5.0,"disable_bundling":false}`
	request := decode[SearchRequest](t, wire)
	if request.Limit != "2" || request.AllocatedStorage != "5.0" || request.Type != "on-demand" || bool(*request.DisableBundling) ||
		len(request.Filters) != 3 || string(request.Filters["dph_total"]["lt"]) != `"0.5"` {
		t.Errorf("decoded as %+v", request)
	}
	again := decode[SearchRequest](t, encode(t, request))
	if diff := cmp.Diff(request, again); diff != "" {
		t.Errorf("after a round trip (-want +got):\n%s", diff)
	}
	for _, bad := range []string{`[]`, `"x"`, `{"num_gpus":1}`, `{"num_gpus":[1]}`, `{"order":"score"}`} {
		if err := json.Unmarshal([]byte(bad), &request); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
	filters := Filters{}
	if filters.Add("limit", "eq", 1) == nil || filters.Add("x", "eq", func() {}) == nil || len(filters) != 0 {
		t.Errorf("filters = %v", filters)
	}
}

func TestAnswerText(t *testing.T) {
	for wire, want := range map[string]string{
		`{"msg":"a","message":"b"}`: "a", `{"message":"b","detail":"c"}`: "b", `{"detail":"c"}`: "c", `{"detail":[1]}`: "[1]", `{}`: "",
	} {
		answer := decode[Answer](t, wire)
		if got := answer.Text(); got != want {
			t.Errorf("%s says %q", wire, got)
		}
	}
	if got := encode(t, Failure("no_such_ask", "gone")); got != `{"success":false,"error":"no_such_ask","msg":"gone"}` {
		t.Errorf("a failure encodes as %s", got)
	}
}

func TestSSHKeys(t *testing.T) {
	for wire, want := range map[string]int{
		`[{"id":1}]`: 1, `[]`: 0, `null`: 0, `""`: 0, `"[{\"id\":1},{\"id\":2}]"`: 2,
	} {
		if got := decode[SSHKeyList](t, wire); len(got) != want {
			t.Errorf("%s gives %d keys", wire, len(got))
		}
	}
	var list SSHKeyList
	if err := json.Unmarshal([]byte(`{"id":1}`), &list); err == nil {
		t.Error("an object was read as keys")
	}
	keys := InstanceSSHKeys{Answer: OK(), SSHKeys: SSHKeyList{{ID: "1", PublicKey: "ssh-ed25519 A"}}}
	text := encode(t, keys)
	if !strings.HasPrefix(text, `{"success":true,"ssh_keys":"[{`) {
		t.Errorf("encoded as %s", text)
	}
	if diff := cmp.Diff(keys, decode[InstanceSSHKeys](t, text)); diff != "" {
		t.Errorf("after a round trip (-want +got):\n%s", diff)
	}
}

func TestCapturedRentRequest(t *testing.T) {
	wire := `{"client_id":"me","image":"vastai/comfy","env":{"-p 8188:8188":"1","A":"b"},"price":null,"disk":40.0,
		"label":"pool-a","extra":null,"onstart":null,"image_login":null,"python_utf8":false,"lang_utf8":false,
		"use_jupyter_lab":false,"jupyter_dir":null,"force":false,"cancel_unavail":false,"template_hash_id":null,"user":null,"runtype":"ssh"}`
	request := decode[RentRequest](t, wire)
	if request.CancelUnavail == nil || bool(*request.CancelUnavail) || request.Disk != "40.0" || request.Price.IsSet() ||
		request.Env["-p 8188:8188"] != "1" || request.RunType != "ssh" {
		t.Errorf("decoded as %+v", request)
	}
	if absent := decode[RentRequest](t, `{"image":"x"}`); absent.CancelUnavail != nil {
		t.Error("an absent cancel_unavail was read as given")
	}
}

// FuzzDecode feeds arbitrary JSON to every decoder and checks that what they
// accept encodes again, and decodes to the same.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"id":1,"dph_total":"0.5","ports":[1],"extra_env":[["A","b"]],"search":[]}`,
		`{"instances":[{"id":1}],"total_instances":1,"next_token":null,"label_counts":{"":1}}`,
		`{"instances":{"id":1,"ports":{"1/tcp":[{"HostIp":"::","HostPort":"2"}]}}}`,
		`{"offers":[{"id":1,"gpu_ids":[1],"external":null}]}`, `{"num_gpus":{"eq":"1"},"limit":2}`,
		`{"ssh_keys":"[{\"id\":1}]","results":[{"metadata":null,"items":[]}]}`, `{"error":true,"success":"false"}`, `null`, `[]`, `7`,
		`{"env":{"A":1e400},"volume_info":{},"args":["a"]}`, `{"pending_price_increases":[{"new_gpu_costpersec":1e-9}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		roundTrip[Offer](t, text)
		roundTrip[OfferList](t, text)
		roundTrip[InstanceList](t, text)
		roundTrip[InstanceResponse](t, text)
		roundTrip[RentRequest](t, text)
		roundTrip[RentResponse](t, text)
		roundTrip[SearchRequest](t, text)
		roundTrip[ManageRequest](t, text)
		roundTrip[LogsResponse](t, text)
		roundTrip[User](t, text)
		roundTrip[ChargeList](t, text)
		roundTrip[PriceIncreaseList](t, text)
		roundTrip[InstanceSSHKeys](t, text)
		roundTrip[SSHKeyList](t, text)
	})
}

// roundTrip checks that decoding what was encoded changes nothing any more.
func roundTrip[T any](t *testing.T, text string) {
	t.Helper()
	var first T
	if json.Unmarshal([]byte(text), &first) != nil {
		return
	}
	once := encode(t, first)
	again := encode(t, decode[T](t, once))
	if once != again {
		t.Errorf("%T: %s\nencodes as %s\nand then as %s", first, text, once, again)
	}
}
