package plugin

import (
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	warmpool "github.com/warmpool-dev/warmpool/api/v1alpha1"
	"github.com/warmpool-dev/warmpool/controllers"
)

// endpointComfyUI is the name of ComfyUI among the endpoints of an instance.
const endpointComfyUI = "comfyui"

// instancesReport lists instances.
type instancesReport struct {
	Instances []instanceRow `json:"instances"`
	// everywhere adds the namespace to the columns.
	everywhere bool
}

// instanceRow is one instance. Money is in dollars per hour.
type instanceRow struct {
	Namespace           string `json:"namespace"`
	Name                string `json:"name"`
	Pool                string `json:"pool"`
	RentalID            int64  `json:"rentalID,omitempty"`
	GPU                 string `json:"gpu,omitempty"`
	CommittedUSDPerHour string `json:"committedUSDPerHour"`
	CurrentUSDPerHour   string `json:"currentUSDPerHour,omitempty"`
	Ready               string `json:"ready"`
	Reason              string `json:"reason"`
	Message             string `json:"message,omitempty"`
	Terminating         bool   `json:"terminating,omitempty"`
	Claim               string `json:"claim,omitempty"`
	MachineID           int64  `json:"machineID,omitempty"`
	Place               string `json:"place,omitempty"`
	ContractEnds        string `json:"contractEnds,omitempty"`
	URL                 string `json:"url,omitempty"`
	SSH                 string `json:"ssh,omitempty"`
	Age                 string `json:"age"`
}

func newInstances(o *options) *cobra.Command {
	var everywhere bool
	var pool string
	command := &cobra.Command{
		Use:     "instances",
		Aliases: []string{"instance"},
		Short:   "List instances with rental, price, state and place",
		Example: "  kubectl warmpool instances --pool=sdxl -o wide",
		Args:    arguments(0, 0, "no arguments"),
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := o.connect()
			if err != nil {
				return err
			}
			seen, err := cluster.look(command.Context(), o.env.Clock.Now(), everywhere)
			if err != nil {
				return err
			}
			answer := &instancesReport{Instances: []instanceRow{}, everywhere: everywhere}
			for k := range seen.instances {
				if instance := &seen.instances[k]; pool == "" || instance.Spec.PoolRef.Name == pool {
					answer.Instances = append(answer.Instances, seen.rowOf(instance))
				}
			}
			if len(answer.Instances) == 0 {
				o.say("There is no such instance in namespace %q: -A looks into all namespaces.", cluster.Namespace)
			}
			return o.print(answer)
		},
	}
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "look into all namespaces")
	command.Flags().StringVar(&pool, "pool", "", "only instances of this pool")
	_ = command.RegisterFlagCompletionFunc("pool", o.completeFirst(kindPool)) //nolint:errcheck // the flag is there
	o.addOutput(command, true)
	return command
}

// rowOf says about an instance what people ask first.
func (w *world) rowOf(instance *warmpool.WarmInstance) instanceRow {
	status := &instance.Status
	ready := conditionOf(status.Conditions, warmpool.ConditionReady)
	row := instanceRow{
		Namespace: instance.Namespace, Name: instance.Name, Pool: instance.Spec.PoolRef.Name,
		CommittedUSDPerHour: controllers.InstanceCost(instance).String(), CurrentUSDPerHour: string(status.Price.CurrentUSDPerHour),
		Ready: string(ready.Status), Reason: ready.Reason, Message: ready.Message,
		Age: duration.HumanDuration(w.now.Sub(instance.CreationTimestamp.Time)), URL: endpointOf(instance),
	}
	if rental := status.Rental; rental != nil {
		row.RentalID, row.GPU, row.MachineID, row.Place = rental.ID, rental.GPUName, rental.MachineID, rental.Geolocation
		if rental.GPUs > 1 {
			row.GPU = strconv.Itoa(int(rental.GPUs)) + "x " + rental.GPUName
		}
		if rental.EndTime != nil {
			row.ContractEnds = moment(rental.EndTime)
		}
	} else if last := status.LastAdmission; last != nil && instance.DeletionTimestamp.IsZero() {
		row.Reason, row.Message = last.Reason, last.Message
	}
	if instance.Spec.ClaimRef != nil {
		row.Claim = instance.Spec.ClaimRef.Name
	}
	if !instance.DeletionTimestamp.IsZero() {
		row.Terminating, row.Reason = true, "Terminating"
		if ended := conditionOf(status.Conditions, warmpool.ConditionTerminated); ended.Reason != reasonNotReported {
			row.Reason, row.Message = ended.Reason, ended.Message
		}
	}
	if status.SSH.Host != "" {
		row.SSH = status.SSH.Host + ":" + strconv.Itoa(int(status.SSH.Port))
	}
	return row
}

// endpointOf is the URL of ComfyUI, empty while it is not known.
func endpointOf(instance *warmpool.WarmInstance) string {
	for _, endpoint := range instance.Status.Endpoints {
		if endpoint.Name == endpointComfyUI {
			return endpoint.URL
		}
	}
	return ""
}

func (r *instanceRow) detail(wide bool) string {
	var details []string
	if r.RentalID != 0 {
		details = append(details, r.GPU, "rental "+strconv.FormatInt(r.RentalID, 10))
	}
	if r.Claim != "" {
		details = append(details, "claimed by "+r.Claim)
	}
	if wide && r.Place != "" {
		details = append(details, r.Place, "machine "+strconv.FormatInt(r.MachineID, 10))
	}
	if wide && r.URL != "" {
		details = append(details, r.URL)
	}
	return strings.Join(details, ", ")
}

// write implements report.
func (r *instancesReport) write(out io.Writer, wide bool) error {
	if len(r.Instances) == 0 {
		return nil
	}
	titles := []string{"NAME", "POOL", "RENTAL", "GPU", "$/H", "READY", "REASON", "CLAIM", "AGE"}
	if r.everywhere {
		titles = append([]string{"NAMESPACE"}, titles...)
	}
	if wide {
		titles = append(titles, "MACHINE", "PLACE", "CONTRACT ENDS", "URL", "SSH")
	}
	list := newTable(titles...)
	for k := range r.Instances {
		row := &r.Instances[k]
		cells := []string{row.Name, row.Pool, number(row.RentalID), row.GPU, row.CommittedUSDPerHour, row.Ready, row.Reason, row.Claim, row.Age}
		if r.everywhere {
			cells = append([]string{row.Namespace}, cells...)
		}
		if wide {
			cells = append(cells, number(row.MachineID), row.Place, row.ContractEnds, row.URL, row.SSH)
		}
		list.add(cells...)
	}
	_, err := io.WriteString(out, list.text(""))
	return err
}

// number prints an id, "-" for none.
func number(id int64) string {
	if id == 0 {
		return "-"
	}
	return strconv.FormatInt(id, 10)
}
