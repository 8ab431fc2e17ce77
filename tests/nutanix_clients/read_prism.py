"""Lists VMs and clusters of a Prism Central through Nutanix's own clients, and prints what they saw as JSON.

Runs in the environment of those clients, not in Realign's: it takes what to ask from standard input
(``{"host", "port", "username", "password" | "apiKey", "ca", "pageSize", "name"}``) and imports nothing of Realign.
"""

import json
import sys

import ntnx_clustermgmt_py_client as clustermgmt
import ntnx_vmm_py_client as vmm


def main():
    asked = json.load(sys.stdin)
    vms = vmm.VmApi(api_client=connected(vmm, asked))
    clusters = clustermgmt.ClustersApi(api_client=connected(clustermgmt, asked))
    # the clusters first: their budget is larger, so that a refusal shows before the list of VMs is paced
    seen = {"clusters": pages(clusters.list_clusters, asked["pageSize"], cluster_seen)}
    seen["vms"] = pages(vms.list_vms, asked["pageSize"], vm_seen)
    seen["named"] = [vm_seen(vm) for vm in vms.list_vms(_filter=f"name eq '{asked['name']}'").data or []]
    seen["quoted"] = [vm_seen(vm) for vm in vms.list_vms(_filter="name eq 'O''Neill''s desktop'").data or []]
    seen["nobody"] = [vm_seen(vm) for vm in vms.list_vms(_filter="name eq 'nobody''s'").data or []]
    first = seen["vms"][0]["uuid"]
    seen["single"] = vm_seen(vms.get_vm_by_id(first).data)
    seen["missing"] = refusal(vmm, lambda: vms.get_vm_by_id("aaaaaaaa-0000-4000-8000-aaaaaaaaaaaa"))
    seen["tooMany"] = refusal(vmm, lambda: vms.list_vms(_limit=101))
    json.dump(seen, sys.stdout)


def connected(package, asked):
    configuration = package.Configuration()
    configuration.host = asked["host"]
    configuration.port = asked["port"]
    configuration.root_ca_certificate_file = asked["ca"]
    if "apiKey" in asked:
        configuration.set_api_key(asked["apiKey"])
    else:
        configuration.username = asked["username"]
        configuration.password = asked["password"]
    return package.ApiClient(configuration=configuration)


def pages(listing, size, seen):
    found, page = [], 0
    while True:
        answer = listing(_page=page, _limit=size)
        found.extend(seen(entity) for entity in answer.data or [])
        page += 1
        if not answer.data or len(found) >= answer.metadata.total_available_results:
            return found


def vm_seen(vm):
    return {
        "uuid": vm.ext_id,
        "name": vm.name,
        "power": str(vm.power_state),
        "cluster": vm.cluster.ext_id,
        "bios": vm.bios_uuid,
        "source": vm.source.ext_id if vm.source else None,
        "created": vm.create_time.isoformat() if vm.create_time else None,
        "agent": bool(vm.is_agent_vm),
        "moving": bool(vm.is_cross_cluster_migration_in_progress),
        "addresses": sorted(filter(None, (address for nic in vm.nics or [] for address in addresses(nic)))),
        "macs": sorted(mac for nic in vm.nics or [] if (mac := mac_of(nic))),
        "categories": sorted(category.ext_id for category in vm.categories or []),
    }


def mac_of(nic):
    backing = getattr(nic, "nic_backing_info", None) or nic.backing_info
    return backing.mac_address if backing else None


def addresses(nic):
    network = getattr(nic, "nic_network_info", None) or nic.network_info
    managed, learned, six = (getattr(network, name, None) for name in ("ipv4_config", "ipv4_info", "ipv6_info"))
    if managed is not None:
        yield managed.ip_address.value if managed.ip_address else None
        yield from (address.value for address in managed.secondary_ip_address_list or [])
    if learned is not None:
        yield from (address.value for address in learned.learned_ip_addresses or [])
    if six is not None:
        yield from (address.value for address in six.learned_ipv6_addresses or [])


def cluster_seen(cluster):
    config = cluster.config
    return {
        "uuid": cluster.ext_id,
        "name": cluster.name,
        "functions": [str(each) for each in config.cluster_function or []],
        "available": config.is_available,
    }


def refusal(package, ask):
    try:
        ask()
    except package.rest.ApiException as error:
        return {"status": error.status, "body": str(error.body)}
    return None


if __name__ == "__main__":
    main()
