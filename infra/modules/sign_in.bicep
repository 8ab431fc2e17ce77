metadata description = 'App Service authentication. It signs people in; the code decides who may do what, and answers 401 and 403 itself.'

param siteName string

@description('Application (client) ID of the app registration with the roles Realign.Reader, Realign.Operator and Realign.Approver.')
param clientId string

@description('Name of the app setting that stands for a client secret. Empty: sign-in by the implicit flow.')
param credentialSetting string

resource site 'Microsoft.Web/sites@2025-05-01' existing = {
  name: siteName
}

resource authentication 'Microsoft.Web/sites/config@2025-05-01' = {
  parent: site
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true, runtimeVersion: '~1' }
    globalValidation: {
      // the health check and the hook with its function key come unsigned
      requireAuthentication: false
      unauthenticatedClientAction: 'AllowAnonymous'
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
          clientId: clientId
          clientSecretSettingName: empty(credentialSetting) ? null : credentialSetting
        }
        validation: {
          allowedAudiences: [ clientId, 'api://${clientId}' ]
        }
      }
    }
    login: { tokenStore: { enabled: true } }
    httpSettings: { requireHttps: true }
  }
}

// a slot must not sign in with the identity of production
resource sticky 'Microsoft.Web/sites/config@2025-05-01' = {
  parent: site
  name: 'slotConfigNames'
  properties: {
    appSettingNames: empty(credentialSetting) ? [] : [ credentialSetting ]
  }
}
