package apidouble

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRoundTripIsThatOfJSON holds the short way against the long one, for objects
// with everything that JSON loses: empty lists, parts of seconds, other zones,
// texts that are no text.
func TestRoundTripIsThatOfJSON(t *testing.T) {
	const objects = 300
	shared := &carriers{}
	for _, kind := range []string{KindWarmPool, KindWarmInstance, KindVastAccount, KindSecret, KindConfigMap, KindNamespace} {
		t.Run(kind, func(t *testing.T) {
			draws := rand.New(rand.NewPCG(1, 2))
			lost := 0
			for range objects {
				object, err := newObject(kind)
				if err != nil {
					t.Fatal(err)
				}
				fill(reflect.ValueOf(object).Elem(), draws)
				text, err := json.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				want, err := decode(kind, text)
				if err != nil {
					t.Fatal(err)
				}
				got, err := shared.roundTrip(object)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("the round trip differs:\n%s", cmp.Diff(want, got))
				}
				if !reflect.DeepEqual(object, got) {
					lost++
				}
			}
			if lost == 0 {
				t.Error("JSON has lost nothing: the objects are too simple")
			}
		})
	}
}

// TestEachStringShowsWhatJSONShows looks for every text of an object.
func TestEachStringShowsWhatJSONShows(t *testing.T) {
	object := &struct {
		metav1.TypeMeta
		metav1.ObjectMeta
	}{}
	seen := map[string]bool{}
	object.Name, object.Labels, object.Finalizers = "name", map[string]string{"key": "value"}, []string{"finalizer"}
	object.OwnerReferences = []metav1.OwnerReference{{UID: "uid"}}
	eachString(reflect.ValueOf(object), func(text string) { seen[text] = true })
	for _, want := range []string{"name", "key", "value", "finalizer", "uid"} {
		if !seen[want] {
			t.Errorf("%q is not shown", want)
		}
	}
}

// fill draws every field of a value.
func fill(value reflect.Value, draws *rand.Rand) {
	zones := []*time.Location{time.UTC, time.Local, time.FixedZone("", 3600)} //nolint:gosmopolitan // the zone must not matter
	switch value.Type() {
	case reflect.TypeFor[time.Time]():
		if draws.IntN(3) > 0 {
			at := time.Unix(draws.Int64N(1<<32), draws.Int64N(int64(time.Second))).In(zones[draws.IntN(len(zones))])
			value.Set(reflect.ValueOf(at))
		}
		return
	case reflect.TypeFor[*metav1.FieldsV1]():
		return
	}
	switch value.Kind() {
	case reflect.String:
		value.SetString([]string{"", "text", "<&>\u2028", "no\xfftext\xfe\xfd", "long text with \"quotes\""}[draws.IntN(5)])
	case reflect.Bool:
		value.SetBool(draws.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		value.SetInt(int64(draws.IntN(100)))
	case reflect.Pointer:
		if draws.IntN(2) == 0 {
			value.Set(reflect.New(value.Type().Elem()))
			fill(value.Elem(), draws)
		}
	case reflect.Struct:
		for _, field := range value.Fields() {
			fill(field, draws)
		}
	case reflect.Slice:
		if n := draws.IntN(4); n > 0 {
			value.Set(reflect.MakeSlice(value.Type(), n-1, n-1))
			for k := range n - 1 {
				fill(value.Index(k), draws)
			}
		}
	case reflect.Uint8:
		value.SetUint(uint64(draws.IntN(256)))
	case reflect.Map:
		if n := draws.IntN(4); n > 0 {
			value.Set(reflect.MakeMap(value.Type()))
			for range n - 1 {
				key, entry := reflect.New(value.Type().Key()).Elem(), reflect.New(value.Type().Elem()).Elem()
				key.SetString([]string{"a", "b", "c"}[draws.IntN(3)])
				fill(entry, draws)
				value.SetMapIndex(key, entry)
			}
		}
	default:
	}
}
