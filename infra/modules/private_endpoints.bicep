metadata description = 'Private endpoints, and the DNS zones that make their names lead to them.'

param name string
param location string
param tags object

@description('What gets one: resource id, group (such as vault) and zone of each.')
param targets array

@description('Subnet for the endpoints.')
param subnetId string

@description('Network that the zones are linked to, where they are made here.')
param networkId string

@description('Resource group ID in which the zones already are. Empty: they are made here.')
param zonesGroupId string

var newZones = empty(zonesGroupId) ? targets : []
var zonesAt = '${empty(zonesGroupId) ? resourceGroup().id : zonesGroupId}/providers/Microsoft.Network/privateDnsZones'

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [for target in newZones: {
  name: target.zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (target, i) in newZones: {
  parent: zones[i]
  name: name
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: { id: networkId }
  }
}]

resource endpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [for target in targets: {
  name: '${name}-${target.group}'
  location: location
  tags: tags
  properties: {
    subnet: { id: subnetId }
    privateLinkServiceConnections: [
      {
        name: target.group
        properties: {
          privateLinkServiceId: target.id
          groupIds: [ target.group ]
        }
      }
    ]
  }
}]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [for (target, i) in targets: {
  parent: endpoints[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: target.group
        properties: {
          privateDnsZoneId: '${zonesAt}/${target.zone}'
        }
      }
    ]
  }
  dependsOn: [ links ]
}]
