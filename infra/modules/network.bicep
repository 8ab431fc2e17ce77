metadata description = 'A virtual network for the app: its subnet, a subnet for private endpoints, DNS, routes and the peering to the hub.'

param name string
param location string
param tags object

@description('At least a /26: half of it for the app, half for private endpoints.')
param addressPrefix string

@description('DNS servers that know the names of Prism and the controllers. Empty: DNS of Azure.')
param dnsServers array

@description('Ways to the premises that the gateway does not announce: name, addressPrefix and nextHopIp, such as that of a firewall.')
param routes array

@description('Resource ID of the hub network with the ExpressRoute or VPN gateway. Empty: no peering.')
param hubNetworkId string

resource appRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: '${name}-app'
  location: location
  tags: tags
}

resource endpointRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: '${name}-endpoints'
  location: location
  tags: tags
}

resource ways 'Microsoft.Network/routeTables@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    disableBgpRoutePropagation: false
    routes: [for route in routes: {
      name: route.name
      properties: {
        addressPrefix: route.addressPrefix
        nextHopType: 'VirtualAppliance'
        nextHopIpAddress: route.nextHopIp
      }
    }]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [ addressPrefix ] }
    dhcpOptions: { dnsServers: dnsServers }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 27, 0)
          networkSecurityGroup: { id: appRules.id }
          routeTable: { id: ways.id }
          delegations: [ { name: 'app-service', properties: { serviceName: 'Microsoft.Web/serverFarms' } } ]
          serviceEndpoints: [ { service: 'Microsoft.Storage' }, { service: 'Microsoft.KeyVault' } ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 27, 1)
          networkSecurityGroup: { id: endpointRules.id }
        }
      }
    ]
  }
}

resource peering 'Microsoft.Network/virtualNetworks/virtualNetworkPeerings@2024-05-01' = if (!empty(hubNetworkId)) {
  parent: network
  name: 'hub'
  properties: {
    remoteVirtualNetwork: { id: hubNetworkId }
    allowVirtualNetworkAccess: true
    allowForwardedTraffic: true
    useRemoteGateways: true
  }
}

output id string = network.id
output appSubnetId string = '${network.id}/subnets/app'
output endpointSubnetId string = '${network.id}/subnets/endpoints'
