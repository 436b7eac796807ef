package apidouble

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// carrier puts into a zero value what is left of another one of the same type
// after it was encoded as JSON and decoded again.
type carrier func(into, from reflect.Value) error

// carriers makes the carriers of types, once each. It is safe for concurrent use.
type carriers struct{ known sync.Map }

// roundTrip returns what is left of an object after a JSON round trip, without
// one: that was a fifth of the time of the simulation. roundtrip_test.go holds it
// against encoding/json.
func (c *carriers) roundTrip(object client.Object) (client.Object, error) {
	from := reflect.ValueOf(object).Elem()
	into := reflect.New(from.Type())
	if err := c.of(from.Type())(into.Elem(), from); err != nil {
		return nil, fmt.Errorf("carrying %s: %w", object.GetName(), err)
	}
	carried, ok := reflect.TypeAssert[client.Object](into)
	if !ok {
		return object, nil // every object is one
	}
	return carried, nil
}

// of returns the carrier of a type. A type that contains itself finds its own
// in the map by the time that it is needed.
func (c *carriers) of(t reflect.Type) carrier {
	if known, ok := c.known.Load(t); ok {
		if carry, isCarrier := known.(carrier); isCarrier {
			return carry
		}
	}
	c.known.Store(t, carrier(func(into, from reflect.Value) error { return c.of(t)(into, from) }))
	made := c.make(t)
	c.known.Store(t, made)
	return made
}

func (c *carriers) make(t reflect.Type) carrier {
	switch {
	case t == reflect.TypeFor[metav1.Time]():
		return carryTime(time.Second)
	case t == reflect.TypeFor[metav1.MicroTime]():
		return carryTime(time.Microsecond)
	case hasOwnEncoding(t):
		return carryAsJSON
	}
	switch t.Kind() {
	case reflect.Struct:
		return c.ofStruct(t)
	case reflect.Pointer:
		return c.ofPointer(t)
	case reflect.Slice:
		return c.ofSlice(t)
	case reflect.Map:
		return c.ofMap(t)
	case reflect.String:
		return carryString
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return carryAsItIs
	default:
		return carryAsJSON
	}
}

// hasOwnEncoding is true for types that encode or decode themselves.
func hasOwnEncoding(t reflect.Type) bool {
	for _, own := range []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if t.Implements(own) || reflect.PointerTo(t).Implements(own) {
			return t.Kind() != reflect.Pointer // the pointer itself may be nil
		}
	}
	return false
}

// ofPointer carries what is pointed to; what encodes as null comes back as nil.
func (c *carriers) ofPointer(t reflect.Type) carrier {
	isTime := t.Elem() == reflect.TypeFor[metav1.Time]() || t.Elem() == reflect.TypeFor[metav1.MicroTime]()
	if !isTime && hasOwnEncoding(t.Elem()) {
		return carryAsJSON
	}
	inner := c.of(t.Elem())
	return func(into, from reflect.Value) error {
		if from.IsNil() || (isTime && timeIn(from.Elem()).IsZero()) {
			return nil
		}
		into.Set(reflect.New(t.Elem()))
		return inner(into.Elem(), from.Elem())
	}
}

// ofStruct carries the fields that JSON knows.
func (c *carriers) ofStruct(t reflect.Type) carrier {
	type field struct {
		at        int
		omitEmpty bool
		omitZero  bool
		carry     carrier
	}
	var fields []field
	for at := range t.NumField() {
		f := t.Field(at)
		tag := f.Tag.Get("json")
		if !f.IsExported() || tag == "-" {
			continue
		}
		options := "," + strings.Join(strings.Split(tag, ",")[1:], ",") + ","
		fields = append(fields, field{
			at: at, carry: c.of(f.Type),
			omitEmpty: strings.Contains(options, ",omitempty,"), omitZero: strings.Contains(options, ",omitzero,"),
		})
	}
	return func(into, from reflect.Value) error {
		for k := range fields {
			f := &fields[k]
			value := from.Field(f.at)
			if (f.omitEmpty && isEmpty(value)) || (f.omitZero && value.IsZero()) {
				continue
			}
			if err := f.carry(into.Field(f.at), value); err != nil {
				return err
			}
		}
		return nil
	}
}

// isEmpty is what omitempty leaves out.
func isEmpty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return value.Len() == 0
	case reflect.Struct:
		return false
	default:
		return value.IsZero()
	}
}

func (c *carriers) ofSlice(t reflect.Type) carrier {
	if t.Elem().Kind() == reflect.Uint8 {
		return func(into, from reflect.Value) error {
			if !from.IsNil() {
				into.SetBytes(append([]byte{}, from.Bytes()...))
			}
			return nil
		}
	}
	inner := c.of(t.Elem())
	return func(into, from reflect.Value) error {
		if from.IsNil() {
			return nil
		}
		into.Set(reflect.MakeSlice(t, from.Len(), from.Len()))
		for k := range from.Len() {
			if err := inner(into.Index(k), from.Index(k)); err != nil {
				return err
			}
		}
		return nil
	}
}

func (c *carriers) ofMap(t reflect.Type) carrier {
	if t.Key().Kind() != reflect.String || hasOwnEncoding(t.Key()) {
		return carryAsJSON
	}
	inner := c.of(t.Elem())
	return func(into, from reflect.Value) error {
		if from.IsNil() {
			return nil
		}
		into.Set(reflect.MakeMapWithSize(t, from.Len()))
		for entries := from.MapRange(); entries.Next(); {
			key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			if err := carryString(key, entries.Key()); err != nil {
				return err
			}
			if err := inner(value, entries.Value()); err != nil {
				return err
			}
			into.SetMapIndex(key, value)
		}
		return nil
	}
}

// carryTime carries a time in the grain of the wire and in the zone of a reader.
func carryTime(grain time.Duration) carrier {
	return func(into, from reflect.Value) error {
		at := timeIn(from)
		if !at.IsZero() {
			nanoseconds := time.Duration(at.Nanosecond()).Truncate(grain)
			into.Field(0).Set(reflect.ValueOf(time.Unix(at.Unix(), int64(nanoseconds))))
		}
		return nil
	}
}

// timeIn is the time that a Time or a MicroTime embeds.
func timeIn(value reflect.Value) time.Time {
	at, _ := reflect.TypeAssert[time.Time](value.Field(0)) // zero is right for anything else
	return at
}

func carryString(into, from reflect.Value) error {
	if !utf8.ValidString(from.String()) {
		return carryAsJSON(into, from)
	}
	into.SetString(from.String())
	return nil
}

func carryAsItIs(into, from reflect.Value) error {
	into.Set(from)
	return nil
}

// carryAsJSON is the round trip itself.
func carryAsJSON(into, from reflect.Value) error {
	text, err := json.Marshal(from.Interface())
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into.Addr().Interface())
}

// EachString shows every text in an object, those of maps and their keys
// included, but no time and no bytes.
func EachString(object client.Object, show func(text string)) {
	eachString(reflect.ValueOf(object), show)
}

func eachString(value reflect.Value, show func(string)) {
	switch value.Kind() {
	case reflect.String:
		show(value.String())
	case reflect.Pointer, reflect.Interface:
		if !value.IsNil() {
			eachString(value.Elem(), show)
		}
	case reflect.Struct:
		if value.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for _, field := range value.Fields() {
			eachString(field, show)
		}
	case reflect.Slice:
		eachStringInSlice(value, show)
	case reflect.Map:
		for key, entry := range value.Seq2() {
			eachString(key, show)
			eachString(entry, show)
		}
	default:
	}
}

func eachStringInSlice(value reflect.Value, show func(string)) {
	if value.Type().Elem().Kind() == reflect.Uint8 {
		return
	}
	for k := range value.Len() {
		eachString(value.Index(k), show)
	}
}
